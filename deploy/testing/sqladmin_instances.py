"""What the SQL Admin server keeps: instances, their backup runs, and operations that take their time."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from .gcs_objects import ApiError

OnClone = Callable[[str, str, str | None], list[str]]

_PAGE = 20


@dataclass
class Running:
    """An operation: its resource, the instances it keeps busy, and what is true at its end."""

    resource: dict[str, Any]
    busy: tuple[str, ...]
    requests_left: int
    finish: Callable[[dict[str, Any]], None]


@dataclass
class Instances:
    """The state behind the API.

    Attributes:
        by_name: resources of instances. runs: backup runs of all instances, oldest first.
        operations: by name. stopped: while true, no operation goes on.
        fail_next: the next operation that is begun ends with this error.
    """

    requests_per_operation: int
    on_clone: OnClone | None
    by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    operations: dict[str, Running] = field(default_factory=dict)
    stopped: bool = False
    fail_next: str = ""
    latest_recovery_time: str = ""
    _numbers: count[int] = field(default_factory=lambda: count(1_700_000_000_000))

    def add(self, project: str, name: str, **changes: Any) -> dict[str, Any]:
        """An instance that runs."""
        resource = {
            "kind": "sql#instance",
            "name": name,
            "project": project,
            "connectionName": f"{project}:europe-west1:{name}",
            "region": "europe-west1",
            "databaseVersion": "POSTGRES_18",
            "instanceType": "CLOUD_SQL_INSTANCE",
            "state": "RUNNABLE",
            "createTime": now(),
            "ipAddresses": [{"type": "PRIVATE", "ipAddress": "10.0.0.2"}],
            "serverCaCert": {"kind": "sql#sslCert", "cert": f"-----{name}-----", "instance": name},
            "settings": {
                "kind": "sql#settings",
                "userLabels": {},
                "deletionProtectionEnabled": False,
                "backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": False},
            },
            **changes,
        }
        self.by_name[name] = resource
        return resource

    def answer(
        self, method: str, path: Mapping[str, str], query: Mapping[str, str], body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carry the call out. Raises ApiError."""
        self._go_on()
        handler: Callable[..., dict[str, Any]] | None = getattr(self, "_" + method.replace(".", "_"), None)
        if handler is None:
            raise ApiError(501, f"{method} is not served here.", "notImplemented")
        return handler(path, query, body)

    # Methods of the API, by their names.

    def _instances_get(self, path: Any, _: Any, __: Any) -> dict[str, Any]:
        return self._instance(path)

    def _instances_list(self, path: Any, query: Any, _: Any) -> dict[str, Any]:
        found = [one for one in self.by_name.values() if one["project"] == path["project"]]
        return _page("sql#instancesList", found, query)

    def _instances_patch(self, path: Any, _: Any, body: Any) -> dict[str, Any]:
        instance = self._free(path)

        def finish(_: dict[str, Any]) -> None:
            _merge(instance, body)

        return self._begin("UPDATE", path, finish, instance["name"])

    def _instances_delete(self, path: Any, _: Any, __: Any) -> dict[str, Any]:
        instance = self._free(path)
        if instance["settings"].get("deletionProtectionEnabled"):
            raise ApiError(400, "The instance is protected against deletion.", "invalidRequest")
        instance["state"] = "PENDING_DELETE"

        def finish(_: dict[str, Any]) -> None:
            del self.by_name[instance["name"]]

        return self._begin("DELETE", path, finish, instance["name"])

    def _instances_clone(self, path: Any, _: Any, body: Any) -> dict[str, Any]:
        source = self._free(path)
        context = body["cloneContext"]
        name, moment = context["destinationInstanceName"], context.get("pointInTime")
        if name in self.by_name:
            raise ApiError(409, "The Cloud SQL instance already exists.", "instanceAlreadyExists")
        if moment:
            if not source["settings"]["backupConfiguration"].get("pointInTimeRecoveryEnabled"):
                raise ApiError(400, "Point-in-time recovery is not enabled.", "invalidRequest")
            if moment > self._latest():
                raise ApiError(400, "The moment is not covered by the write-ahead log.", "invalidRequest")
        clone = self.add(
            path["project"], name, state="PENDING_CREATE", settings=copy.deepcopy(source["settings"])
        )
        clone["ipAddresses"] = []

        def finish(operation: dict[str, Any]) -> None:
            if "error" in operation:
                clone["state"] = "FAILED"
                return
            addresses = self.on_clone(source["name"], name, moment) if self.on_clone else ["10.0.0.99"]
            kind = source["ipAddresses"][0]["type"]
            clone["ipAddresses"] = [{"type": kind, "ipAddress": address} for address in addresses]
            clone["state"] = "RUNNABLE"

        return self._begin("CLONE", path, finish, source["name"], name)

    def _projects_instances_getLatestRecoveryTime(self, path: Any, _: Any, __: Any) -> dict[str, Any]:  # noqa: N802 – the API's name
        instance = self._instance(path)
        if not instance["settings"]["backupConfiguration"].get("pointInTimeRecoveryEnabled"):
            raise ApiError(400, "Point-in-time recovery is not enabled.", "invalidRequest")
        return {"kind": "sql#getLatestRecoveryTime", "latestRecoveryTime": self._latest()}

    def _backupRuns_insert(self, path: Any, _: Any, body: Any) -> dict[str, Any]:  # noqa: N802 – Google's names
        instance = self._free(path)
        run = {
            "kind": "sql#backupRun",
            "id": str(next(self._numbers)),
            "instance": instance["name"],
            "description": body.get("description", ""),
            "type": "ON_DEMAND",
            "status": "RUNNING",
            "enqueuedTime": now(),
            "startTime": now(),
            "location": body.get("location", "eu"),
        }
        self.runs.append(run)

        def finish(operation: dict[str, Any]) -> None:
            run["endTime"] = now()
            run["status"] = "FAILED" if "error" in operation else "SUCCESSFUL"
            if "error" in operation:
                run["error"] = operation["error"]["errors"][0]
            else:
                run["maxChargeableBytes"] = str(10 * 1024**2)

        context = {"backupContext": {"kind": "sql#backupContext", "backupId": run["id"]}}
        return self._begin("BACKUP_VOLUME", path, finish, instance["name"], **context)

    def _backupRuns_list(self, path: Any, query: Any, _: Any) -> dict[str, Any]:  # noqa: N802 – Google's names
        name = self._instance(path)["name"]
        found = [run for run in reversed(self.runs) if run["instance"] == name]
        return _page("sql#backupRunsList", found, query)

    def _backupRuns_get(self, path: Any, _: Any, __: Any) -> dict[str, Any]:  # noqa: N802 – Google's names
        for run in self.runs:
            if (run["instance"], run["id"]) == (path["instance"], path["id"]):
                return run
        raise ApiError(404, "The backup run does not exist.", "backupRunDoesNotExist")

    def _operations_get(self, path: Any, _: Any, __: Any) -> dict[str, Any]:
        if (operation := self.operations.get(path["operation"])) is None:
            raise ApiError(404, "The Cloud SQL operation does not exist.", "operationDoesNotExist")
        return operation.resource

    # What they share.

    def _instance(self, path: Mapping[str, str]) -> dict[str, Any]:
        instance = self.by_name.get(path["instance"])
        if instance is None or instance["project"] != path["project"]:
            raise ApiError(404, "The Cloud SQL instance does not exist.", "instanceDoesNotExist")
        return instance

    def _free(self, path: Mapping[str, str]) -> dict[str, Any]:
        instance = self._instance(path)
        for running in self.operations.values():
            if running.resource["status"] != "DONE" and instance["name"] in running.busy:
                message = "Operation failed because another operation was already in progress."
                raise ApiError(409, message, "operationInProgress")
        return instance

    def _latest(self) -> str:
        return self.latest_recovery_time or now()

    def _begin(
        self,
        kind: str,
        path: Mapping[str, str],
        finish: Callable[[dict[str, Any]], None],
        *busy: str,
        **more: Any,
    ) -> dict[str, Any]:
        resource = {
            "kind": "sql#operation",
            "name": secrets.token_hex(16),
            "operationType": kind,
            "status": "PENDING",
            "targetProject": path["project"],
            "targetId": busy[-1],
            "insertTime": now(),
            "user": "tests@example.com",
            **more,
        }
        self.operations[resource["name"]] = Running(resource, busy, self.requests_per_operation, finish)
        return resource

    def _go_on(self) -> None:
        """Time passes with the requests."""
        for running in self.operations.values() if not self.stopped else ():
            operation = running.resource
            if operation["status"] == "DONE":
                continue
            running.requests_left -= 1
            operation["status"] = "RUNNING"
            if running.requests_left > 0:
                continue
            if self.fail_next:
                error = {"kind": "sql#operationError", "code": "INTERNAL_ERROR", "message": self.fail_next}
                operation["error"] = {"kind": "sql#operationErrors", "errors": [error]}
                self.fail_next = ""
            operation["status"], operation["endTime"] = "DONE", now()
            running.finish(operation)


def now() -> str:
    """RFC 3339 with milliseconds, as the API writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _page(kind: str, found: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Small pages, so that whoever does not turn them is found out."""
    begin, size = int(query.get("pageToken", 0)), min(int(query.get("maxResults", _PAGE)), _PAGE)
    page: dict[str, Any] = {"kind": kind, "items": found[begin : begin + size]}
    if begin + size < len(found):
        page["nextPageToken"] = str(begin + size)
    return page


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)
