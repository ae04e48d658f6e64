"""What can be wrong with a release, by the name in `E2E_FAULT`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from deploy.health import LIVEZ, READYZ, RELEASE_HEADER, STARTUPZ

BUSY_REQUESTS = 15  # in a second, of one worker: more than any smoke test asks, fewer than the load does


class Fault:
    """The first middleware. `no_start`: the server doesn't come up, though commands run. `never_ready`: it
    comes up and isn't ready. `page_fails`: it is ready and its first page isn't. `fails_when_busy`: all of it
    is well until people come."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.fault = os.environ["E2E_FAULT"]
        self.lock, self.second, self.asked = threading.Lock(), 0, 0
        if self.fault == "no_start":
            raise RuntimeError("this release does not start: it was built for a test")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if self.fault == "never_ready" and request.path in (READYZ, STARTUPZ):
            return HttpResponse("not ready: built for a test\n", status=503)
        if self.fault == "page_fails" and request.path == "/":
            return self.broken()
        if self.fault == "fails_when_busy" and request.path not in (LIVEZ, READYZ) and self.is_busy():
            return self.broken()
        return self.get_response(request)

    @staticmethod
    def broken() -> HttpResponse:
        headers = {RELEASE_HEADER: os.environ.get("RELEASE", "")}
        return HttpResponse("broken: built for a test\n", status=500, headers=headers)

    def is_busy(self) -> bool:
        with self.lock:
            if self.second != (now := int(time.monotonic())):
                self.second, self.asked = now, 0
            self.asked += 1
            return self.asked > BUSY_REQUESTS
