"""Where the server under test is, and how to speak to it: parsed once, checked once."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from deploy.reporting.findings import Refusal

from .findings import ADDRESS_INVALID

_HOST = re.compile(r"^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}\.?)?)+$")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """One server.

    Attributes:
        scheme: `http` or `https`, as the connection is made.
        host, port: of the URL; `host` is also what the certificate is checked for.
        base_path: what precedes every path, without a slash at the end.
        address: what to connect to, where that is not `host` (`--resolve`).
        host_header: the Host header, and the host a redirect may stay on.
        behind_proxy: the connection is plain HTTP, but the request says that a proxy has taken TLS off.
    """

    scheme: str
    host: str
    port: int
    base_path: str
    address: str
    host_header: str
    behind_proxy: bool = False

    @property
    def url(self) -> str:
        """The URL under test, as findings name it."""
        return f"{self.scheme}://{_netloc(self.scheme, self.host, self.port)}{self.base_path}"

    @property
    def secure(self) -> bool:
        """What the application takes the connection for."""
        return self.scheme == "https" or self.behind_proxy

    @property
    def origin(self) -> str:
        """What a browser would name as the page's origin."""
        return f"{'https' if self.secure else 'http'}://{self.host_header}"


def parse_target(
    url: str, *, host: str | None = None, resolve: str | None = None, behind_proxy: bool = False
) -> Target:
    """The target of `smoketest URL [--host NAME] [--resolve HOST:PORT:ADDRESS] [--behind-proxy]`.

    Raises:
        Refusal: deploy.S001, exit code 2. What might be a password in the URL is not repeated.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise _refusal("it has blanks or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refusal(str(error)) from None
    if parts.scheme not in _PORTS:
        raise _refusal("it must start with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise _refusal("it must not hold a name or password")
    if parts.query or parts.fragment:
        raise _refusal("it must not have a query or a fragment")
    name = _checked_host(parts.hostname or "")
    port = _PORTS[parts.scheme] if port is None else port
    if not 1 <= port <= 65535:
        raise _refusal(f"there is no port {port}")
    target = Target(
        scheme=parts.scheme,
        host=name,
        port=port,
        base_path=parts.path.rstrip("/"),
        address=_resolved(resolve, name, port) or name,
        host_header=_netloc(parts.scheme, name, port),
        behind_proxy=behind_proxy,
    )
    return replace(target, host_header=_checked_header(host)) if host else target


def _checked_host(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        ascii_name = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        ascii_name = ""
    if len(ascii_name) > 253 or not _HOST.match(ascii_name):
        raise _refusal(f"{name!r} is no host name" if name else "it names no host")
    return ascii_name


def _checked_header(host: str) -> str:
    """`NAME`, `NAME:PORT`, `[::1]`: nothing else may enter a header."""
    try:
        parts = urlsplit(f"//{host}")
        plain = parts.netloc == host and parts.username is None and parts.port != 0
    except ValueError:
        plain = False
    if not plain:
        raise _refusal(f"--host {host!r} is no host name")
    _checked_host(parts.hostname or "")
    return host


def _resolved(resolve: str | None, host: str, port: int) -> str | None:
    if not resolve:
        return None
    name, _, rest = resolve.partition(":")
    port_text, _, address = rest.partition(":")
    try:
        numeric = str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        numeric = ""
    if not (name and port_text.isdigit() and numeric):
        raise _refusal(f"--resolve {resolve!r} is not HOST:PORT:ADDRESS")
    if (name.lower(), int(port_text)) != (host, port):
        raise _refusal(f"--resolve is for {name}:{port_text}, but the URL is {host}:{port}")
    return numeric


def _netloc(scheme: str, host: str, port: int) -> str:
    text = f"[{host}]" if ":" in host else host
    return text if port == _PORTS[scheme] else f"{text}:{port}"


def _refusal(reason: str) -> Refusal:
    return Refusal(ADDRESS_INVALID(reason=reason), exit_code=2)
