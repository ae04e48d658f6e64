"""A WSGI application whose every answer is an exception that quotes a registered secret."""

from collections.abc import Callable
from typing import Any

from deploy.reporting.redaction import register_secret

REGISTERED = "registered-topsecret"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    if environ["PATH_INFO"] == "/broken":
        register_secret(REGISTERED)
        raise RuntimeError(f"it can't say {REGISTERED}")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
