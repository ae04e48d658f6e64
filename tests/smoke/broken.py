"""A server that does everything right, and can be told to do one thing wrong."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

STATIC = "/static/site.0123456789ab.css"
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=3600",
}
LOGIN_FORM = (
    '<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="t0ken">'
    '<input name="username"><input type="password" name="password"></form>'
)


@dataclass
class Reply:
    """What a path answers: headers are a dict, cookies a list, the body text or bytes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | bytes = ""
    cookies: list[str] = field(default_factory=list)


def json_reply(data: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(data))


@dataclass
class Site:
    """Paths and their replies; `requests` keeps what was asked: (method, path, headers)."""

    replies: dict[str, Reply | Callable[[dict[str, Any]], Reply]]
    release: str = "r1"
    host: str = "127.0.0.1"
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        given = {name: str(value) for name, value in environ.items() if name.startswith("HTTP_")}
        self.requests.append((method, path, given))
        hosts = self.replies.get("wrong host")
        if not given["HTTP_HOST"].startswith(self.host):
            reply = hosts if isinstance(hosts, Reply) else Reply(400, {}, "Bad Request")
        else:
            chosen = self.replies.get(f"{method} {path}") or self.replies.get(path) or self.replies["missing"]
            reply = chosen if isinstance(chosen, Reply) else chosen(environ)
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        headers = {"X-Release": self.release, "Content-Length": str(len(body)), **reply.headers}
        pairs = [(name, value) for name, value in headers.items() if value]
        start_response(f"{reply.status} Reply", pairs + [("Set-Cookie", line) for line in reply.cookies])
        return [body]


def healthy() -> dict[str, Reply | Callable[[dict[str, Any]], Reply]]:
    """Every reply as it should be."""
    head = f'<link rel="stylesheet" href="{STATIC}">'
    return {
        "/livez": json_reply({"status": "ok"}),
        "/readyz": json_reply({"status": "ok"}),
        "/startupz": json_reply({"status": "ok"}),
        "/version": json_reply({"release": "r1"}),
        "/": Reply(200, dict(PAGE_HEADERS), head),
        "/admin/login/": Reply(
            200, dict(PAGE_HEADERS), head + LOGIN_FORM, ["csrftoken=abc; Path=/; Secure; SameSite=Lax"]
        ),
        "POST /admin/login/": Reply(302, {"Location": "/admin/"}, "", ["sessionid=s1; Path=/; Secure"]),
        "POST /admin/logout/": Reply(200, dict(PAGE_HEADERS), "bye"),
        "POST /api/token": json_reply({"token": "issued-token"}),
        "/api/items": json_reply({"items": []}),
        STATIC: Reply(
            200,
            {"Content-Type": "text/css", "Cache-Control": "public, max-age=31536000, immutable"},
            "body{}",
        ),
        "missing": Reply(404, dict(PAGE_HEADERS), "Not Found"),
    }


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    server = make_server("127.0.0.1", 0, site, server_class=_Server, handler_class=_Quiet)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
