"""The HTTP side of the GCS server: receives requests, sends answers, and fails as it is told to."""

from __future__ import annotations

import socket
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from .gcs_api import answer, json_answer
from .gcs_faults import Request
from .gcs_objects import ApiError

if TYPE_CHECKING:
    from .gcs_server import GCSServer


class Handler(BaseHTTPRequestHandler):
    """One connection; kept alive, as the real service does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any  # the listener, which carries the GCSServer

    def do_GET(self) -> None:
        request = self._receive()
        gcs: GCSServer = self.server.gcs
        gcs.requests.append(request)
        fault = gcs.faults.take(request)
        if fault.latency_seconds:
            time.sleep(fault.latency_seconds)
        if fault.reset:
            return self._reset()
        if fault.status:
            error = ApiError(fault.status, "Injected fault.", "backendError")
            reply = json_answer(error.as_dict(), fault.status)
        else:
            reply = answer(gcs, request)
        if fault.lose_response:
            return self._reset()
        body = reply.body
        if fault.flip_bit and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.truncate_at_bytes is not None:
            body = body[: fault.truncate_at_bytes]
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(body)
        if len(body) < len(reply.body):
            self.close_connection = True
        return None

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 – http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 – the base class's name
        """Nothing is printed; `GCSServer.requests` is the log."""

    def _receive(self) -> Request:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join(iter(self._read_piece, b""))
        else:
            body = self.rfile.read(int(headers.get("content-length", 0)))
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return Request(self.command, url.path, query, headers, body)

    def _read_piece(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        piece = self.rfile.read(size)
        self.rfile.readline()
        return piece

    def _reset(self) -> None:
        linger_not(self.connection)
        self.connection.close()
        self.close_connection = True


def linger_not(connection: socket.socket) -> None:
    """Closing sends RST instead of FIN from now on: what a client sees of a dying peer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
