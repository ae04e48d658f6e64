"""A small Secret Manager for tests: Google's own Python client reads versions from it over HTTP.

    with SecretManagerServer() as server:
        server.add("my-project", "secret-key", b"the value")
        environ = {"SECRET_MANAGER_EMULATOR_HOST": server.url, "SECRET_KEY": "sm://my-project/secret-key"}

It knows one method, `versions.access`, and answers as Google does: aliases become numbers, a version that is
disabled or destroyed gets 400, whatever `forbid` names 403. Not there: access control by account, regional
secrets, everything that writes. https://cloud.google.com/secret-manager/docs/reference/rest
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

import google_crc32c

from .gcs_api import Answer, json_answer
from .gcs_faults import Request
from .service import Service

__all__ = ["SecretManagerServer"]

_ACCESS = re.compile(r"/v1/projects/([^/]+)/secrets/([^/]+)/versions/([^/:]+):access")
_NUMBER = 123456789012  # a resource's name in an answer has the project's number


class SecretManagerServer(Service):
    """The server, on a free port of 127.0.0.1 for the length of the `with` block.

    Attributes:
        faults: what will go wrong (see `GCSServer`).
        requests: every request that arrived, oldest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._versions: dict[tuple[str, str], list[bytes]] = {}
        self._states: dict[tuple[str, str, int], str] = {}
        self._aliases: dict[tuple[str, str, str], int] = {}
        self._forbidden: set[tuple[str, str]] = set()

    def add(self, project: str, name: str, value: bytes) -> int:
        """One more version of this secret; returns its number."""
        versions = self._versions.setdefault((project, name), [])
        versions.append(value)
        return len(versions)

    def disable(self, project: str, name: str, version: int, state: str = "DISABLED") -> None:
        """The version is refused from now on; `state` may be DESTROYED."""
        self._states[project, name, version] = state

    def alias(self, project: str, name: str, alias: str, version: int) -> None:
        """The version can be asked for by this word."""
        self._aliases[project, name, alias] = version

    def forbid(self, project: str, name: str) -> None:
        """Nobody may read this secret, whether it is there or not."""
        self._forbidden.add((project, name))

    def answer(self, request: Request) -> Answer:
        """Google's answer to this request."""
        found = _ACCESS.fullmatch(unquote(request.path))
        if found is None or request.method != "GET":
            return _refusal(404, "NOT_FOUND", "Method not found.")
        project, name, asked = found.groups()
        if (project, name) in self._forbidden:
            permission = "Permission 'secretmanager.versions.access' denied for resource"
            return _refusal(
                403, "PERMISSION_DENIED", f"{permission} '{found[0][4:-7]}' (or it may not exist)."
            )
        versions = self._versions.get((project, name), [])
        number = self._number(project, name, asked)
        resource = f"projects/{_NUMBER}/secrets/{name}/versions/{number or asked}"
        if not versions:
            return _refusal(404, "NOT_FOUND", f"Secret [projects/{_NUMBER}/secrets/{name}] not found.")
        if not 1 <= number <= len(versions):
            return _refusal(404, "NOT_FOUND", f"Secret Version [{resource}] not found.")
        if state := self._states.get((project, name, number)):
            return _refusal(400, "FAILED_PRECONDITION", f"Secret Version [{resource}] is in {state} state.")
        data = versions[number - 1]
        payload = {
            "data": base64.b64encode(data).decode(),
            "dataCrc32c": str(google_crc32c.value(data)),
        }
        return json_answer({"name": resource, "payload": payload})

    def _number(self, project: str, name: str, asked: str) -> int:
        """The number of the version that is asked for; 0 for a word that nobody gave.

        `latest` may be disabled: Google takes the newest version, whatever its state.
        """
        if asked == "latest":
            return len(self._versions.get((project, name), []))
        return int(asked) if asked.isdigit() else self._aliases.get((project, name, asked), 0)


def _refusal(status: int, word: str, message: str) -> Answer:
    return json_answer({"error": {"code": status, "message": message, "status": word}}, status)
