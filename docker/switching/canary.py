"""Compares the share of 5xx answers of two colours, from Caddy's access log (one JSON object a line)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# So few requests say nothing; below it only failures count.
MINIMUM_REQUESTS = 50
# One failed request, or two, can be a client's doing; three of them with a share that is twice as high and
# one in a hundred more than before are the release's.
MINIMUM_ERRORS = 3
_TIMES_WORSE = 2.0
_SHARE_MORE = 0.01


@dataclass(frozen=True)
class Count:
    """Requests, and those of them that ended with 5xx."""

    requests: int = 0
    errors: int = 0

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.errors / self.requests if self.requests else 0.0


def is_worse(new: Count, old: Count) -> bool:
    """Whether the canary fails clearly more than the release beside it. Decided at any moment."""
    return new.errors >= MINIMUM_ERRORS and new.share > old.share * _TIMES_WORSE + _SHARE_MORE


def is_enough(new: Count) -> bool:
    """Whether so many requests went well that it may go on; too few are enough when none failed."""
    return new.requests >= MINIMUM_REQUESTS or new.errors == 0


@dataclass
class AccessLog:
    """Reads what is written from now on, over rotations. Requests of the frontend are left out."""

    path: Path
    counts: dict[str, Count] = field(default_factory=dict)
    _inode: int = 0
    _offset: int = 0
    _rest: bytes = b""

    def begin(self) -> None:
        """Leave out what is there."""
        if self.path.exists():
            status = self.path.stat()
            self._inode, self._offset = status.st_ino, status.st_size

    def read(self) -> None:
        """Count what has been written since."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return  # it is being rotated, or no request has come yet
        with file:
            inode = self.path.stat().st_ino
            if inode != self._inode:
                self._inode, self._offset, self._rest = inode, 0, b""
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._count(line)

    def of(self, colour: str) -> Count:
        """The colour's count."""
        return self.counts.get(colour, Count())

    def _count(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            headers = entry["resp_headers"]
            status = int(entry["status"])
        except (ValueError, KeyError, TypeError):
            return  # a line that is not of a request
        colour = _first(headers, "X-Served-By")
        if colour and _first(headers, "X-Served-Part") != "frontend":
            before = self.of(colour)
            self.counts[colour] = Count(before.requests + 1, before.errors + (status >= 500))


def _first(headers: Any, name: str) -> str:
    values = headers.get(name) if isinstance(headers, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""
