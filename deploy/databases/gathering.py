"""The output of a program that writes little at a time, read in large pieces."""

from __future__ import annotations

import fcntl
import sys
import time
from typing import IO

# In a millisecond a fast dump writes some 200 KiB. A pipe without room for several times that would fill up.
_WAIT_SECONDS = 0.001
_LEAST_ROOM_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Gathering:
    """A pipe whose reader lets some more come in when it has read it empty.

    pg_dump writes 4 KiB at a time. To be woken for each of them costs both sides more processor time than
    the reading does: of a dump of 276 MB, 25,000 readings become 1,500.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._roomy = _room_bytes(pipe) >= _LEAST_ROOM_BYTES
        self._emptied = False

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        self._wait()
        piece: bytes = self._pipe.read1(size)  # type: ignore[attr-defined]  # a buffered reader has it
        self._note(len(piece), size)
        return piece

    def readinto1(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer, and say how much; 0 at the end."""
        self._wait()
        count = int(self._pipe.readinto1(buffer))  # type: ignore[attr-defined]  # a buffered reader has it
        self._note(count, len(buffer))
        return count

    def _wait(self) -> None:
        if self._emptied:
            time.sleep(_WAIT_SECONDS)

    def _note(self, count: int, asked: int) -> None:
        self._emptied = self._roomy and 0 < count < _PIECE_BYTES and count != asked


def _room_bytes(pipe: IO[bytes]) -> int:
    """How much can wait in the pipe; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
