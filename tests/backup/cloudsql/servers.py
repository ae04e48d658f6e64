"""A second real PostgreSQL as the clone, and addresses for servers that listen on a Unix socket only."""

from __future__ import annotations

import random
import selectors
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.databases import embedded


@contextmanager
def listening(socket_dir: str, address: str, port: int = 0) -> Iterator[int]:
    """Connections to `address` go to the server of this socket. Yields the port."""
    with socketserver.ThreadingTCPServer((address, port), _Forwarder, bind_and_activate=False) as server:
        server.allow_reuse_address = True
        server.daemon_threads = False
        server.server_bind()
        server.server_activate()
        server.path = f"{socket_dir}/.s.PGSQL.5432"  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def other_address() -> str:
    """An address of this machine that hardly anything listens on (Linux has all of 127/8)."""
    return ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])  # noqa: S311


def copy_database(name: str, from_dir: str, to_dir: str) -> None:
    """The database `name` of one server, on the other: what Cloud SQL does with disks."""
    tools = embedded.bin_dir()
    assert tools is not None
    where = ["--username=postgres", f"--host={to_dir}"]
    _run(tools / "createdb", *where, "--template=template0", name)
    dumped = _run(tools / "pg_dump", "--username=postgres", f"--host={from_dir}", "--format=custom", name)
    _run(tools / "pg_restore", *where, f"--dbname={name}", given=dumped)


def drop_database(name: str, in_dir: str) -> None:
    tools = embedded.bin_dir()
    assert tools is not None
    _run(tools / "dropdb", "--username=postgres", f"--host={in_dir}", "--if-exists", "--force", name)


def _run(*argv: str | Path, given: bytes = b"") -> bytes:
    done = subprocess.run([str(one) for one in argv], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class _Forwarder(socketserver.BaseRequestHandler):
    """One connection, both ways, until one end closes it."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as ready:
            server.connect(self.server.path)  # type: ignore[attr-defined]
            ready.register(self.request, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, self.request)
            while True:
                for key, _ in ready.select():
                    piece = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not piece:
                        return
                    key.data.sendall(piece)
