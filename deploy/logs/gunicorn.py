"""gunicorn's logs as JSON lines: `logger_class = "deploy.logs.gunicorn.JsonLogger"` in its settings.

No line has a query string, a cookie, an Authorization header or a Referer: those carry tokens. gunicorn's own
`access_log_format` can't do this: it puts values into a text as they are, and a quote in one breaks the JSON.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

from deploy.health import LIVEZ, READYZ, STARTUPZ, VERSION

from .json_lines import JsonFormatter, json_line, trace_fields

PROBES = frozenset({LIVEZ, READYZ, STARTUPZ, VERSION})

# With these a line stays below PIPE_BUF (4096 bytes): lines of several workers never run into each other.
_LONGEST_PATH = 1500
_LONGEST_AGENT = 200
_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))
_MALFORMED = "Invalid request from ip="


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Access lines on standard output, everything else on standard error.

    Probes that are answered well are not logged: they come every few seconds and say nothing.
    """

    def setup(self, cfg: Any) -> None:
        """gunicorn's own, with our form of a line. Also run when the master reloads its settings."""
        super().setup(cfg)
        # Not from deploy.conf: gunicorn's master logs before there are settings.
        release = os.environ.get("RELEASE", "")
        self._labels = {"release": release} if release else {}
        self._project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter(self._labels))

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:  # noqa: ARG002 – gunicorn's signature
        """Log one answer; of a request that could not be parsed there is less to say than of others."""
        if not self.access_log_enabled:
            return
        path = path_of(str(environ.get("RAW_URI") or ""))
        status = int(str(resp.status).split(None, 1)[0])
        if path in PROBES and status < 400:
            return
        method = str(environ.get("REQUEST_METHOD", ""))
        request = {
            "requestMethod": method,
            "requestUrl": path,
            "status": status,
            "responseSize": str(getattr(resp, "sent", None) or 0),  # int64 is a string in Google's JSON
            "userAgent": str(environ.get("HTTP_USER_AGENT", ""))[:_LONGEST_AGENT],
            "latency": f"{request_time.total_seconds():.6f}s",
            "protocol": str(environ.get("SERVER_PROTOCOL", "")),
        }
        fields: dict[str, Any] = {"httpRequest": request, "process": os.getpid()}
        traceparent, request_id = (
            str(environ.get(name, "")) for name in ("HTTP_TRACEPARENT", "HTTP_X_REQUEST_ID")
        )
        fields |= trace_fields(traceparent, request_id, self._project)
        if self._labels:
            fields["logging.googleapis.com/labels"] = self._labels
        # A probe that says no does its job, for example while the container drains.
        severity = "INFO" if status < 500 else "WARNING" if path in PROBES else "ERROR"
        self.access_log.info("%s", json_line(severity, f"{method} {path} {status}", _now(), fields))

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """gunicorn's own, but its arguments (method and address) without the query string."""
        super().exception(msg, *(path_of(arg) if isinstance(arg, str) else arg for arg in args), **kwargs)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """gunicorn's own, but of a malformed request only what is wrong, not the part that it quotes."""
        if not args and str(msg).startswith(_MALFORMED):
            msg, args = "%s", (": ".join(str(msg).split(": ")[:2]),)
        super().warning(msg, *args, **kwargs)


def path_of(target: str) -> str:
    """The path of a request's target in visible ASCII, without query string, fragment, host or user.

    >>> path_of("https://user:password@host/caf\\xe9?token=1")
    '/caf%E9'
    """
    path = target.partition("?")[0].partition("#")[0]
    scheme, separator, rest = path.partition("://")
    if separator and "/" not in scheme:
        path = f"/{rest.partition('/')[2]}"
    return quote(path.encode("latin-1", "replace"), safe=_VISIBLE)[:_LONGEST_PATH]


def _now() -> datetime:
    return datetime.now(UTC)
