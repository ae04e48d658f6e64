"""A small Cloud SQL Admin API for tests: Google's own Python client talks to it over HTTP.

    with SQLAdminServer() as server:
        server.add_instance("my-project", "my-instance")
        CLOUD_SQL = {"project": "my-project", "instance": "my-instance", "endpoint": server.url}

Every request (path, query, body) and every answer of its own is held against the discovery document that
google-api-python-client brings along; an answer that it does not allow fails the test that asked for it.
What takes time here takes requests, not seconds: an operation is done when `requests_per_operation` further
requests have come in, so no test waits for a clock. One operation runs on an instance at a time; a second
one is refused with 409, as Google does it.

It keeps instances, backup runs, clones, labels and operations. Not there: access control (see `forbid`),
restores, anything that a database server does: `on_clone` is told of each clone and says where it listens.
Needs `jsonschema`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .gcs_api import Answer, json_answer
from .gcs_faults import Request
from .gcs_objects import ApiError
from .service import Service
from .sqladmin_discovery import Discovery
from .sqladmin_instances import Instances

__all__ = ["SQLAdminServer"]


class SQLAdminServer(Service):
    """The server, on a free port of 127.0.0.1 for the length of the `with` block.

    Args:
        requests_per_operation: how many requests later an operation is done.
        on_clone: called with (source's name, clone's name, moment or None) when a clone is done; returns the
            addresses on which it listens.

    Attributes:
        instances: what there is, to look at and to change.
        faults: what will go wrong (see `GCSServer`).
        requests: every request that arrived, oldest first.
        calls: the API's method that each of them called, `backupRuns.insert`.
        broken: answers that the discovery document does not allow; a test asserts that there are none.
    """

    def __init__(
        self,
        *,
        requests_per_operation: int = 2,
        on_clone: Callable[[str, str, str | None], list[str]] | None = None,
    ) -> None:
        super().__init__()
        self.instances = Instances(requests_per_operation, on_clone)
        self.calls: list[str] = []
        self.broken: list[str] = []
        self._discovery = Discovery()
        self._forbidden: dict[str, str] = {}
        self._guard = threading.Lock()

    def add_instance(self, project: str, name: str, **changes: Any) -> dict[str, Any]:
        """An instance that runs; `changes` replace parts of its resource. Returns the resource."""
        return self.instances.add(project, name, **changes)

    def forbid(self, method: str, reason: str = "notAuthorized") -> None:
        """Answer calls of `backupRuns.insert` and the like with 403 from now on."""
        self._forbidden[method] = reason

    def permit(self, method: str) -> None:
        """No longer."""
        del self._forbidden[method]

    def answer(self, request: Request) -> Answer:
        """Google's answer to this request."""
        with self._guard:
            try:
                method, path = self._discovery.method_of(request)
                name = method.id.removeprefix("sql.")
                self.calls.append(name)
                body = self._discovery.check_request(method, request)
                self._authorize(name)
                reply = self.instances.answer(name, path, dict(request.query), body)
            except ApiError as error:
                return json_answer(error.as_dict(), error.status)
            if broken := self._discovery.reason_against(method.response, reply):
                self.broken.append(f"{method.id}: {broken}")
            return json_answer(reply)

    def _authorize(self, method: str) -> None:
        if reason := self._forbidden.get(method):
            raise ApiError(403, "The client is not authorized to make this request.", reason)
