"""Running the test site: real gunicorn, its databases, and a database that never answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, *, method: str = "GET", host: str = "10.0.0.7", **headers: str) -> Answer:
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={"Host": host, **headers})
            response = connection.getresponse()
            body = response.read()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                body,
                time.monotonic() - began,
            )
        finally:
            connection.close()


def server_entry(name: str) -> dict[str, Any]:
    """An entry of DATABASES for database `name` on the tests' server."""
    entry = settings.DATABASES["default"]
    return {
        **{key: entry.get(key, "") for key in ("ENGINE", "USER", "PASSWORD", "HOST", "PORT")},
        "NAME": name,
    }


def connect(name: str = "postgres") -> psycopg.Connection[Any]:
    entry = server_entry(name)
    return psycopg.connect(
        host=entry["HOST"], user=entry["USER"], port=entry["PORT"] or None, dbname=name, autocommit=True
    )


@contextmanager
def database() -> Iterator[str]:
    """A new, empty database."""
    name = f"health_{uuid.uuid4().hex[:12]}"
    with connect() as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield name
    finally:
        with connect() as server:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def site_environment(entry: dict[str, Any], **variables: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.health.site.settings",
        "SITE_DATABASE": json.dumps(entry),
        "RELEASE": "release-1",
        **variables,
    }


def manage(entry: dict[str, Any], *arguments: str, **variables: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=site_environment(entry, **variables),
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


@contextmanager
def gunicorn(entry: dict[str, Any], *options: str, **variables: str) -> Iterator[Served]:
    """The site on a real gunicorn, answering `/livez`."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
                    *("--bind", f"fd://{listener.fileno()}", *options),
                    "tests.health.site.wsgi:application",
                ],
                env=site_environment(entry, **variables),
                cwd=ROOT,
                pass_fds=[listener.fileno()],
                stderr=output,
                stdout=output,
            )
        served = Served(port, process, log)
        try:
            wait_until_live(served)
            yield served
        finally:
            listener.close()
            process.terminate()
            process.wait(20)


def wait_until_live(served: Served) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and served.process.poll() is None:
        with suppress(OSError):
            if served.ask("/livez").status == 200:
                return
        time.sleep(0.05)
    raise AssertionError(served.log.read_text())


@contextmanager
def black_hole() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                held.append(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in held:
            connection.close()
