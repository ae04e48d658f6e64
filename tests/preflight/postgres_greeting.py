"""The first words of a PostgreSQL server of any version, over a real socket: enough to be turned away."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


@contextmanager
def greeting(version: str) -> Iterator[int]:
    """Yield the port of a server on 127.0.0.1 that says it is PostgreSQL `version`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, version), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, version: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            _greet(client, version)


def _greet(client: socket.socket, version: str) -> None:
    while True:
        length, code = struct.unpack("!II", client.recv(8))
        client.recv(length - 8)
        if code not in (_SSL_REQUEST, _GSS_REQUEST):
            break
        client.sendall(b"N")
    client.sendall(_message(b"R", struct.pack("!I", 0)))
    for name, value in (
        ("server_version", version),
        ("client_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("standard_conforming_strings", "on"),
    ):
        client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
    client.sendall(_message(b"K", struct.pack("!II", 1, 1)) + _message(b"Z", b"I"))
    while client.recv(4096):
        pass


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
