"""A stand-in for a colour's container: answers everything and remembers what it was sent."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int


@dataclass
class Origin:
    """`release` is what it says; `begun` counts heads of requests, `received` whole ones.

    `drops_reused` closes a connection at its second request, without an answer.
    """

    release: str
    port: int = 0
    drops_reused: bool = False
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    begun: int = 0
    received: list[Received] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: Origin
    asked = 0

    def _answer(self) -> None:
        origin = self.origin
        self.asked += 1
        origin.begun += 1
        if self.asked > 1 and origin.drops_reused:
            self.close_connection = True
            return
        if self.path.startswith("/api/slow"):
            origin.waiting.set()
            origin.go_on.wait(60)
        size = self._read_body()
        origin.received.append(Received(self.command, self.path, dict(self.headers.items()), size))
        body = json.dumps({"release": origin.release, "padding": "x" * 2000}).encode()
        self.send_response(origin.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Release", origin.release)
        for name, value in origin.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815 – http.server's names

    def _read_body(self) -> int:
        if self.headers.get("Transfer-Encoding") == "chunked":
            size = 0
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            return size
        return len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, *_args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def serving(release: str, port: int = 0):
    """An Origin that listens on 127.0.0.1, on a port of its own unless one is given."""
    origin = Origin(release)
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"origin": origin}))
    origin.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield origin
    finally:
        origin.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
