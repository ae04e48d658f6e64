"""Debian's Caddy as a process, with the repository's own files; only ports and folders are others."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = ROOT / "docker" / "caddy"
HOST = "optifit.test"
PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def buffering() -> str:
    """The name of the file in docker/caddy/buffering for the Caddy that is installed."""
    said = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout  # noqa: S607 – from PATH
    major, minor = said.lstrip("v").split(".")[:2]
    return "2.6" if (int(major), int(minor)) < (2, 7) else "2.7"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def release(self) -> str | None:
        return self.headers.get("X-Release")

    @property
    def colour(self) -> str | None:
        return self.headers.get("X-Served-By")


def wait_for(what: str, true) -> None:
    """Return once `true()` is; fail with `what` after a minute."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Caddy:
    """One instance. `folder` holds live/ (as rollout's), log/ and data/ (the certificates)."""

    folder: Path
    settings: dict[str, str]
    config: Path = FILES / "Caddyfile"
    http_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        for name in ("live", "log", "data"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def live(self) -> Path:
        return self.folder / "live"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "BIND_ADDRESS": "127.0.0.1",
            "HTTP_PORT": str(self.http_port),
            "HTTPS_PORT": str(self.https_port),
            "HEALTH_PORT": str(free_port()),
            "ADMIN_ADDRESS": f"unix/{self.folder}/admin.sock",
            "LIVE_DIR": str(self.live),
            "LOG_DIR": str(self.folder / "log"),
            "PUBLIC_HOST": HOST,
            "CADDY_BUFFERING": buffering(),
            **self.settings,
        }

    @property
    def log(self) -> str:
        return (self.folder / "caddy.log").read_text()

    def access_log(self) -> list[dict]:
        path = self.folder / "log" / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def start(self) -> None:
        with (self.folder / "caddy.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["caddy", "run", "--config", str(self.config), "--adapter", "caddyfile"],  # noqa: S607 – from PATH
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for("Caddy listens", lambda: self._has_ended() or accepts(self.http_port))
        assert not self._has_ended(), self.log

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_SECONDS)
            self.process = None

    def connection(self, source: str = "127.0.0.1") -> http.client.HTTPConnection:
        """A connection to the plain HTTP port, from the address `source`."""
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30, source_address=(source, 0))

    def secure_connection(self, context: ssl.SSLContext, host: str = HOST) -> http.client.HTTPSConnection:
        """A TLS connection whose server name is `host`."""

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
                self.sock = context.wrap_socket(raw, server_hostname=host)

        return Connection(host, self.https_port, context=context)

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        body: bytes | None = None,
        source: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        """One answer over plain HTTP, as if the load balancer asked; in a header's name `_` is `-`."""
        connection = self.connection(source)
        sent = {"Host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            return exchange(connection, path, method, body=body, headers=sent)
        finally:
            connection.close()


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


@contextmanager
def running(folder: Path, config: Path = FILES / "Caddyfile", **settings: str):
    """A Caddy that answers, and is gone afterwards."""
    caddy = Caddy(folder, settings, config)
    try:
        caddy.start()
        yield caddy
    finally:
        caddy.stop()


def is_installed() -> bool:
    return shutil.which("caddy") is not None
