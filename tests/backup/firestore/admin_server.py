"""A server that speaks the Firestore Admin API as Google's discovery document describes it.

Paths, methods and fields come from the document (of google-api-python-client); what it says in words (a
snapshot time is in the past, on a whole minute and not older than the kept versions) is checked too.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

_DOCUMENTS = files("googleapiclient") / "discovery_cache" / "documents"
DISCOVERY = json.loads((_DOCUMENTS / "firestore.v1.json").read_text())
_DATABASES = DISCOVERY["resources"]["projects"]["resources"]["databases"]
_EXPORT = _DATABASES["methods"]["exportDocuments"]
_GET = _DATABASES["resources"]["operations"]["methods"]["get"]
_METADATA = "GoogleFirestoreAdminV1ExportDocumentsMetadata"


@dataclass
class Admin:
    """What it was asked and what it answers.

    Attributes:
        refuse: (HTTP status, status, message) for the next calls, each once.
        looks: how often an operation is still running when it is asked about.
        error: what an operation ends with, or None.
        earliest: the oldest version that is kept.
    """

    endpoint: str = ""
    refuse: list[tuple[int, str, str]] = field(default_factory=list)
    looks: int = 2
    error: str | None = None
    earliest: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=1))
    exports: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refuse:
            return _error(*self.refuse.pop(0))
        if method == _EXPORT["httpMethod"] and (name := _match(_EXPORT, path)):
            return self._export(name, body)
        if method == _GET["httpMethod"] and (name := _match(_GET, path)):
            return self._get(name)
        return _error(404, "NOT_FOUND", f"no such method: {method} {path}")

    def _export(self, database: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if problem := _invalid(body, _EXPORT["request"]["$ref"]):
            return _error(400, "INVALID_ARGUMENT", problem)
        if not re.fullmatch(r"gs://[a-z0-9._-]{3,63}(/.+)?", body.get("outputUriPrefix", "")):
            return _error(400, "INVALID_ARGUMENT", "output_uri_prefix is not gs://BUCKET[/PATH]")
        snapshot = datetime.fromisoformat(body["snapshotTime"])
        if snapshot.second or snapshot.microsecond or snapshot > datetime.now(UTC):
            return _error(400, "INVALID_ARGUMENT", "snapshot_time must be a whole minute in the past")
        if snapshot < self.earliest:
            return _error(400, "FAILED_PRECONDITION", "The requested snapshot version is too old.")
        self.exports.append({"database": database, **body, "looks": self.looks})
        return 200, self._operation(len(self.exports) - 1)

    def _get(self, name: str) -> tuple[int, dict[str, Any]]:
        number = int(name.rpartition("-")[2])
        self.exports[number]["looks"] -= 1
        return 200, self._operation(number)

    def _operation(self, number: int) -> dict[str, Any]:
        export = self.exports[number]
        done = export["looks"] < 0
        metadata = {
            "startTime": datetime.now(UTC).isoformat(),
            "operationState": "SUCCESSFUL" if done else "PROCESSING",
            "progressDocuments": {"completedWork": "42" if done else "20", "estimatedWork": "42"},
            "progressBytes": {"completedWork": "4200" if done else "2000", "estimatedWork": "4200"},
            "outputUriPrefix": export["outputUriPrefix"],
            "snapshotTime": export["snapshotTime"],
        }
        assert not _invalid(metadata, _METADATA)
        operation: dict[str, Any] = {
            "name": f"{export['database']}/operations/export-{number}",
            "metadata": {
                "@type": "type.googleapis.com/google.firestore.admin.v1.ExportDocumentsMetadata",
                **metadata,
            },
        }
        if done:
            operation["done"] = True
            if self.error:
                operation["error"] = {"code": 7, "message": self.error}
            else:
                operation["response"] = {
                    "@type": "type.googleapis.com/google.firestore.admin.v1.ExportDocumentsResponse",
                    "outputUriPrefix": export["outputUriPrefix"],
                }
        return operation


def _match(method: dict[str, Any], path: str) -> str | None:
    """The name in `path`, when it is this method's path and the name fits its pattern."""
    before, after = method["path"].split("{+name}")
    name = path.removeprefix(f"/{before}").removesuffix(after)
    fits = path == f"/{before}{name}{after}" and re.fullmatch(method["parameters"]["name"]["pattern"], name)
    return name if fits else None


def _invalid(body: dict[str, Any], schema: str) -> str | None:
    known = DISCOVERY["schemas"][schema]["properties"]
    kinds = {"string": str, "array": list}
    for name, value in body.items():
        if name not in known:
            return f"unknown field {name!r}"
        if "type" in known[name] and not isinstance(value, kinds[known[name]["type"]]):
            return f"{name!r} is not of the type {known[name]['type']!r}"
        if "$ref" in known[name] and (problem := _invalid(value, known[name]["$ref"])):
            return problem
    return None


def _error(code: int, status: str, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"error": {"code": code, "status": status, "message": message}}


@contextmanager
def serving() -> Iterator[Admin]:
    admin = Admin()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            code, answer = admin.answer(self.command, unquote(self.path.partition("?")[0]), body)
            raw = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    admin.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield admin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
