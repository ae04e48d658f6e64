"""One request and its answer, bounded in time and size. The standard library's client: no proxy of the
environment, no cookie and no redirect that wasn't asked for."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from typing import Any

from deploy.reporting.findings import Finding

from .findings import CERTIFICATE, TIMED_OUT, TOO_LARGE, UNREACHABLE
from .target import Target

LARGEST_ANSWER_BYTES = 2 * 1024 * 1024
USER_AGENT = "deploy-smoketest"


class ProbeStopped(Exception):  # noqa: N818 – it is an answer, not a fault
    """The probe can't go on; its finding says why. `starting`: a server that comes up may still answer."""

    def __init__(self, finding: Finding, *, starting: bool = False) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.starting = starting


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. Names of headers are in lower case; repeated ones are joined, but for cookies."""

    path: str
    status: int
    headers: Mapping[str, str]
    set_cookies: tuple[str, ...]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body as UTF-8, with marks for what is not."""
        return self.body.decode(errors="replace")

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON, or None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def cookies(self) -> dict[str, str]:
        """Names and values of the cookies it sets; one that can't be read is left out."""
        found: dict[str, str] = {}
        for line in self.set_cookies:
            try:
                found.update({name: morsel.value for name, morsel in SimpleCookie(line).items()})
            except CookieError:
                continue
        return found


class _Connection(http.client.HTTPConnection):
    """Connects to the target's address, and names its host to TLS."""

    def __init__(self, target: Target, timeout_seconds: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout_seconds)
        self._target = target

    def connect(self) -> None:
        self.sock = socket.create_connection((self._target.address, self.port), self.timeout)
        if self._target.scheme == "https":
            self.sock = _tls().wrap_socket(self.sock, server_hostname=self._target.host)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def exchange(
    target: Target,
    method: str,
    path: str,
    *,
    deadline: float,
    request_seconds: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one request on a connection of its own and read the whole answer.

    Args:
        path: absolute, below the target's base path.
        deadline: of the whole run, by `time.monotonic()`.
        request_seconds: how long this request may take, and each wait in it.

    Raises:
        ProbeStopped: deploy.S002 to S004 or S006.
    """
    began = time.monotonic()
    ends = min(deadline, began + request_seconds)
    limit = max(ends - began, 0.05)
    sent = {
        "Host": target.host_header,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **({"X-Forwarded-Proto": "https"} if target.behind_proxy else {}),
        **(headers or {}),
    }
    connection = _Connection(target, limit)
    try:
        connection.request(method, f"{target.base_path}{path}", body=body, headers=sent)
        wire = connection.sock  # getresponse lets go of it, as the server will close it
        response = connection.getresponse()
        content = _read(wire, response, path, ends)
    except TimeoutError:
        raise ProbeStopped(TIMED_OUT(path=path, seconds=round(limit, 1), place=target.url)) from None
    except ssl.SSLCertVerificationError as error:
        finding = CERTIFICATE(
            host=target.host, port=target.port, reason=error.verify_message, place=target.url
        )
        raise ProbeStopped(finding) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = _reason(error)
        finding = UNREACHABLE(path=path, reason=reason, url=target.url, place=target.url)
        starting = isinstance(error, ConnectionError | http.client.RemoteDisconnected)
        raise ProbeStopped(finding, starting=starting) from None
    finally:
        connection.close()
    return Answer(
        path=path,
        status=response.status,
        headers={name.lower(): ", ".join(response.headers.get_all(name) or []) for name in response.headers},
        set_cookies=tuple(response.headers.get_all("Set-Cookie") or ()),
        body=content,
    )


def _read(wire: socket.socket, response: http.client.HTTPResponse, path: str, ends: float) -> bytes:
    """The body, piece by piece: a server that drips must not outlast the limit that each piece respects."""
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(65536):
        size += len(piece)
        if size > LARGEST_ANSWER_BYTES:
            raise ProbeStopped(TOO_LARGE(path=path, limit_bytes=LARGEST_ANSWER_BYTES))
        pieces.append(piece)
        if response.isclosed():
            break  # whole: since Python 3.13 the socket is closed with the last byte, not the next read
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        wire.settimeout(left)
    missing = response.length
    if missing:
        raise http.client.IncompleteRead(b"".join(pieces), missing)
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve ({error.strerror})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, http.client.IncompleteRead):
        return "the answer broke off"
    return f"{type(error).__name__} {error}".strip() or type(error).__name__
