"""Clones of the instance: made for a drill, deleted after it, and after a kill by the next one."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.backup.naming import Identity
from deploy.reporting.findings import Refusal

from .connection import failed
from .findings import CLONE_LEFT
from .operations import Admin, Pace, StillRunningError

# A clone of some 100 GB takes 10 to 30 minutes.
PACE = Pace(poll_seconds=10, wait_seconds=5400)
# One that is still being made can't be deleted; rather than wait for long, leave it to the next drill.
_DELETED_WITHIN = Pace(poll_seconds=10, wait_seconds=300)
# The write-ahead log is archived every 5 minutes at the latest; only then can a moment be cloned.
_ARCHIVED_WITHIN = Pace(poll_seconds=10, wait_seconds=420)

LABEL = "deploy-drill"

_ACTION = "cloned"
_NAME = re.compile(r"deploy-drill-[0-9a-f]{8}-\d{14}-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Cloned:
    """An instance that was cloned.

    Attributes:
        resource: `DatabaseInstance` of the API. source: of the instance that it was cloned from.
        moment: UTC; its data are of then, or of a little later where `exact` is false.
    """

    name: str
    resource: dict[str, Any]
    source: dict[str, Any]
    moment: datetime
    exact: bool


def new_name(identity: Identity, moment: datetime) -> str:
    """A clone's name: whose it is, when, by chance; and a check of all three, which nobody types by hand."""
    stamp = f"{moment.astimezone(UTC):%Y%m%d%H%M%S}"
    name = f"deploy-drill-{identity.tag}-{stamp}-{secrets.token_hex(2)}"
    return f"{name}-{_check(identity, name)}"


def is_ours(identity: Identity, name: str) -> bool:
    """The name is one that `new_name` made for exactly this project, environment and database."""
    rest, _, check = name.rpartition("-")
    return (
        _NAME.fullmatch(rest) is not None
        and rest.split("-")[2] == identity.tag
        and check == _check(identity, rest)
    )


def _check(identity: Identity, name: str) -> str:
    return hashlib.sha256(f"{identity}\0{name}".encode()).hexdigest()[:8]


def make(admin: Admin, identity: Identity, name: str, moment: datetime) -> Cloned:
    """Clone the instance as of `moment` where point-in-time recovery is on, else as it is now.

    Args:
        name: of `new_name`. Whoever calls this deletes it, whatever this raises.

    Raises:
        Refusal: deploy.B086 to B088, B090.
    """
    source = admin.get(admin.instance.name, _ACTION)
    context: dict[str, Any] = {"destinationInstanceName": name}
    exact = _reach(admin, source, moment)
    if exact:
        context["pointInTime"] = _stamp(moment)
    began = datetime.now(UTC)
    request = admin.service.instances().clone(
        project=admin.instance.project, instance=admin.instance.name, body={"cloneContext": context}
    )
    operation = admin.begin(
        request, _ACTION, was_done=lambda: admin.find(name, _ACTION) is not None, note="Cloud SQL's clone"
    )
    try:
        if operation:
            admin.wait(operation, _ACTION, note=f"the clone {name}")
        resource = _runnable(admin, name)
        _unprotect(admin, identity, name)
    except StillRunningError as error:
        reason = f"the clone {name} is not ready after {round(admin.pace.wait_seconds)} s"
        raise Refusal(failed(admin.instance, _ACTION, reason)) from error
    return Cloned(name, resource, source, moment if exact else began, exact)


def delete(admin: Admin, identity: Identity, name: str) -> bool:
    """Delete a clone of ours; without effect when it is not there.

    Its deletion is begun, not waited for. What goes wrong is a warning (deploy.B091) of `admin.step`: the
    next drill tries again.

    Returns:
        There was one, and its deletion is under way.

    Raises:
        ValueError: the name is not one of `new_name`; nothing else is ever deleted.
    """
    if not is_ours(identity, name) or name == admin.instance.name:
        raise ValueError(f"{name!r} is not a clone of {identity}")
    action, admin = f"freed of its clone {name}", admin.within(_DELETED_WITHIN)
    try:
        found = admin.find(name, action)
        if found is None or found.get("state") == "PENDING_DELETE":
            return found is not None
        if (found.get("settings") or {}).get("deletionProtectionEnabled"):
            _unprotect(admin, identity, name)
        request = admin.service.instances().delete(
            project=admin.instance.project, instance=name, enableFinalBackup=False
        )

        def was_done() -> bool:
            left = admin.find(name, action)
            return left is None or left.get("state") == "PENDING_DELETE"

        admin.begin(request, action, was_done=was_done, note=f"deleting the clone {name}")
    except (Refusal, StillRunningError) as error:
        reason = (
            "; ".join(finding.message.rstrip(".") for finding in error.findings)
            if isinstance(error, Refusal)
            else "it is being changed"
        )
        project = admin.instance.project
        admin.step.add(CLONE_LEFT(clone=name, instance=admin.instance, project=project, reason=reason))
        return False
    return True


def delete_stale(admin: Admin, identity: Identity) -> list[str]:
    """Delete the clones that killed drills of this database left; returns the names of those it begins with.

    Call it with the deploy lock held: a clone that is being rehearsed on counts as stale.

    Raises:
        Refusal: when they can't be listed.
    """
    return [name for name in _ours(admin, identity) if delete(admin, identity, name)]


def _ours(admin: Admin, identity: Identity) -> list[str]:
    instances, action = admin.service.instances(), "searched for clones"
    request, names = instances.list(project=admin.instance.project), []
    while request is not None:
        page = admin.read(request, action)
        names += [
            one["name"]
            for one in page.get("items", [])
            if is_ours(identity, one["name"]) and one.get("state") != "PENDING_DELETE"
        ]
        request = instances.list_next(request, page)
    return names


def _reach(admin: Admin, source: dict[str, Any], moment: datetime) -> bool:
    """The archived log reaches `moment`, at once or before long; without such a log it never does."""
    kept = (source.get("settings") or {}).get("backupConfiguration") or {}
    if not kept.get("pointInTimeRecoveryEnabled"):
        return False
    request = (
        admin.service.projects()
        .instances()
        .getLatestRecoveryTime(project=admin.instance.project, instance=admin.instance.name)
    )

    def reaches() -> bool:
        latest = admin.read(request, _ACTION).get("latestRecoveryTime", "")
        return bool(latest) and datetime.fromisoformat(latest) >= moment

    try:
        admin.within(_ARCHIVED_WITHIN).wait_until(reaches, note="the log's archive")
    except StillRunningError:
        return False
    return True


def _runnable(admin: Admin, name: str) -> dict[str, Any]:
    resource: dict[str, Any] = {}

    def is_over() -> bool:
        nonlocal resource
        resource = admin.get(name, _ACTION)
        if resource.get("state") in ("FAILED", "SUSPENDED", "PENDING_DELETE"):
            raise Refusal(failed(admin.instance, _ACTION, f"the clone {name} is {resource['state']}"))
        return resource.get("state") == "RUNNABLE"

    admin.wait_until(is_over, note=f"the clone {name}")
    return resource


def _unprotect(admin: Admin, identity: Identity, name: str) -> None:
    """Say on the clone whose it is; and let it be deleted without a trace, which its source may forbid."""
    settings = {
        "userLabels": {LABEL: identity.tag},
        "deletionProtectionEnabled": False,
        "retainBackupsOnDelete": False,
        "finalBackupConfig": {"enabled": False},
    }
    request = admin.service.instances().patch(
        project=admin.instance.project, instance=name, body={"settings": settings}
    )

    def was_done() -> bool:
        labels = (admin.get(name, _ACTION).get("settings") or {}).get("userLabels") or {}
        return labels.get(LABEL) == identity.tag

    operation = admin.begin(request, _ACTION, was_done=was_done, note=f"labelling the clone {name}")
    if operation:
        admin.wait(operation, _ACTION, note=f"labelling the clone {name}")


def _stamp(moment: datetime) -> str:
    # The API takes RFC 3339 in UTC; rounded up, so that the snapshot's moment is not cut off.
    ceiled = moment.astimezone(UTC) + timedelta(microseconds=-moment.microsecond % 1000)
    return f"{ceiled:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
