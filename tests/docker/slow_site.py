"""The test site of the health endpoints, with an answer that takes a while to be finished."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.health.site.wsgi import application as site

SECONDS = 2


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/slow":
        return site(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return slow()


def slow() -> Iterator[bytes]:
    yield b"begun "
    time.sleep(SECONDS)
    yield b"finished"
