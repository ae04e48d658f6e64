"""Questions over HTTP: to a container's own address, and through the proxy as the public name."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from .settings import Settings

PORTS = {"backend": 8000, "frontend": 8080}
_TIMEOUT_SECONDS = 5
_LARGEST_BODY = 1_000_000


@dataclass(frozen=True)
class Answer:
    """An answer, or why there was none (`error`)."""

    status: int = 0
    release: str = ""
    colour: str = ""
    kind: str = ""
    body: bytes = b""
    error: str = ""

    @property
    def short(self) -> str:
        """For a person."""
        if self.error:
            return self.error
        text = self.body[:200].decode(errors="replace").strip().replace("\n", " ")
        return f"{self.status} {text}".strip()

    @property
    def digest(self) -> str:
        """SHA-256 of the body (hex)."""
        return hashlib.sha256(self.body).hexdigest()


class Proxied(http.client.HTTPSConnection):
    """A connection to the proxy on this machine, with the public name in TLS and in Host."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext) -> None:
        super().__init__(name, 443, timeout=_TIMEOUT_SECONDS, context=context)
        self._at = (address, port)
        self._ssl = context

    def connect(self) -> None:
        """To the address, not to what the name resolves to."""
        plain = socket.create_connection(self._at, _TIMEOUT_SECONDS)
        self.sock = self._ssl.wrap_socket(plain, server_hostname=self.host)


def ask_container(address: str, part: str, path: str, host: str) -> Answer:
    """GET `path` of a container, as the proxy would ask it."""
    connection = http.client.HTTPConnection(address, PORTS[part], timeout=_TIMEOUT_SECONDS)
    return _ask(connection, path, {"Host": host, "X-Forwarded-Proto": "https"})


def ask_proxy(settings: Settings, path: str) -> Answer:
    """GET `path` through the proxy, on a connection of its own."""
    address = urlsplit(settings.proxy_url)
    host = address.hostname or "127.0.0.1"
    headers = {"Host": settings.public_host}
    if address.scheme == "http":
        headers["X-Forwarded-Proto"] = "https"
        plain = http.client.HTTPConnection(host, address.port or 80, timeout=_TIMEOUT_SECONDS)
        return _ask(plain, path, headers)
    try:
        context = ssl.create_default_context()
        if settings.proxy_ca_file:
            context.load_verify_locations(settings.proxy_ca_file)
    except OSError as error:
        return Answer(error=f"PROXY_CA_FILE: {error}")
    return _ask(Proxied(host, address.port or 443, settings.public_host, context), path, headers)


def frontend_trouble(page: Answer, version: Answer) -> str:
    """Why these are not the first page and version.json of a frontend, or ""."""
    if page.status != 200 or "html" not in page.kind:
        return f"/ answers {page.short[:100]} ({page.kind or 'no type'})"
    if version.status != 200:
        return f"/version.json answers {version.short[:100]}"
    try:
        json.loads(version.body)
    except ValueError:
        return "/version.json is not JSON"
    return ""


def _ask(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> Answer:
    try:
        connection.request(
            "GET", path, headers={**headers, "User-Agent": "optifit-rollout", "Connection": "close"}
        )
        answer = connection.getresponse()
        return Answer(
            answer.status,
            answer.getheader("X-Release", ""),
            answer.getheader("X-Served-By", ""),
            answer.getheader("Content-Type", ""),
            answer.read(_LARGEST_BODY),
        )
    except (OSError, http.client.HTTPException) as error:
        return Answer(error=f"{type(error).__name__}: {error}".rstrip(": "))
    finally:
        connection.close()
