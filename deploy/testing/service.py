"""The HTTP side of the servers for tests: receives requests, sends answers, and fails as it is told to."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from .gcs_api import Answer, json_answer
from .gcs_faults import Faults, Request
from .gcs_objects import ApiError


class Service(ABC):
    """A service on a free port of 127.0.0.1 for the length of the `with` block.

    Attributes:
        faults: what will go wrong.
        requests: every request that arrived, oldest first.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[Request] = []
        self._http = Listener(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._http.service = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """What the service has to say. Called by several threads at once."""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, once the block has begun."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._http.server_bind()
        self._http.server_activate()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection; kept alive, as the real service does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any  # the listener, which carries the service

    def do_GET(self) -> None:
        request = self._receive()
        service: Service = self.server.service
        service.requests.append(request)
        fault = service.faults.take(request)
        if fault.latency_seconds:
            time.sleep(fault.latency_seconds)
        if fault.reset:
            return self._reset()
        if fault.status:
            error = ApiError(fault.status, "Injected fault.", "backendError")
            reply = json_answer(error.as_dict(), fault.status)
        else:
            reply = service.answer(request)
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
        """Nothing is printed; `Service.requests` is the log."""

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


class Listener(ThreadingHTTPServer):
    """Knows its open connections: clients keep them alive, and the server's end must not wait for them."""

    service: Service
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a traceback on standard error; a mistake of ours is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # it was closed already
                linger_not(connection)
                connection.shutdown(socket.SHUT_RDWR)
