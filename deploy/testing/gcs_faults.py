"""What can go wrong between a client and GCS, on demand; and a record of every request."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. `path` is still percent-encoded; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_download(self) -> bool:
        return self.method == "GET" and self.query.get("alt") == "media"

    @property
    def is_about_the_bucket(self) -> bool:
        """What recent clients ask in the background, at any moment, to label their traces."""
        return self.method == "GET" and re.fullmatch(r"/storage/v1/b/[^/]+", self.path) is not None

    @property
    def is_upload(self) -> bool:
        return self.path.startswith("/upload/") and self.method in ("POST", "PUT")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a request.

    Attributes:
        status: answered at once with this code (429, 503, …); nothing is done.
        reset: the connection is reset before anything is done.
        lose_response: the request is done, then the connection is reset without an answer.
        truncate_at_bytes: the answer's body breaks off there, after headers that promise all of it.
        flip_bit: the answer's body differs by one bit from what is stored.
        latency_seconds: waited before the request is handled; goes with any of the others.
    """

    status: int | None = None
    reset: bool = False
    lose_response: bool = False
    truncate_at_bytes: int | None = None
    flip_bit: bool = False
    latency_seconds: float = 0.0


class Faults:
    """The faults that wait for a request, each for those that `when` accepts, `times` times."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, Callable[[Request], bool]]] = []
        self._guard = threading.Lock()

    def add(self, fault: Fault, *, times: int = 1, when: Callable[[Request], bool] | None = None) -> None:
        """Let the next `times` requests that `when` accepts meet `fault`.

        Without `when` that is any request except for the bucket itself (see `Request.is_about_the_bucket`).
        """
        with self._guard:
            self._waiting += [(fault, when or (lambda request: not request.is_about_the_bucket))] * times

    def clear(self) -> None:
        with self._guard:
            self._waiting.clear()

    @property
    def pending(self) -> int:
        """How many have not met their request yet."""
        with self._guard:
            return len(self._waiting)

    def take(self, request: Request) -> Fault:
        """The first that this request meets, used up by it; a `Fault()` does nothing."""
        with self._guard:
            for position, (fault, when) in enumerate(self._waiting):
                if when(request):
                    del self._waiting[position]
                    return fault
        return Fault()
