"""A real gunicorn with the container's settings, its two outputs, and connections to it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "docker" / "gunicorn.conf.py"
LIMIT_SECONDS = 60


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    out: Path
    error: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS)

    def exchange(self, request: bytes) -> bytes:
        """Send the bytes and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def lines(self, file: Path) -> list[dict[str, Any]]:
        """Each line of an output; every one has to be JSON."""
        return [json.loads(line) for line in file.read_text().splitlines()]


@contextmanager
def serving(application: str, *options: str, **variables: str) -> Iterator[Server]:
    """gunicorn with docker/gunicorn.conf.py, listening; killed at the end if it still runs."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        out, error = Path(folder, "out"), Path(folder, "error")
        argv = [sys.executable, "-m", "gunicorn", "--config", str(SETTINGS), *options]
        with out.open("wb") as stdout, error.open("wb") as stderr:
            process = subprocess.Popen(
                [*argv, "--bind", f"fd://{listener.fileno()}", application],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
                pass_fds=[listener.fileno()],
                stdout=stdout,
                stderr=stderr,
            )
        port = listener.getsockname()[1]
        listener.close()  # the server's copies alone hold it open now: when it stops, nobody can connect
        try:
            eventually(lambda: "Booting worker" in error.read_text(), process)
            yield Server(port, process, out, error)
        finally:
            process.kill()
            process.wait()


def eventually(condition: Any, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for the condition, with a limit that a busy machine keeps; not for a process that has ended."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.05)
