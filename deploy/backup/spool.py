"""Bytes put aside on the local disk for a program that has to seek in them.

The file has no name from its first moment on (open(2), O_TMPFILE), so nothing is left of it however we end.
The program opens it by way of our descriptor (proc(5), /proc/PID/fd) and reads at a place of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

_AHEAD = 4  # pieces that wait to be written; fewer than `frames.REUSED_AFTER`


def folder() -> str:
    """Where it is put aside: TMPDIR, or the system's folder for that."""
    return tempfile.gettempdir()


def free_bytes() -> int:
    """What fits there."""
    return shutil.disk_usage(folder()).free


@contextmanager
def spooled(pieces: Iterable[bytes]) -> Iterator[str]:
    """Write `pieces` to their end; yields a path that other processes of this user can open meanwhile.

    Raises:
        OSError: among others ENOSPC, when they do not fit.
    """
    handle, named = _nameless()
    try:
        _write(handle, pieces)
        yield named or f"/proc/{os.getpid()}/fd/{handle}"
    finally:
        os.close(handle)
        if named:
            Path(named).unlink(missing_ok=True)


def _write(handle: int, pieces: Iterable[bytes]) -> None:
    """Write in a thread: the next pieces are decoded meanwhile."""

    def write(piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[os.write(handle, view) :]

    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="spool") as writer:
        for piece in pieces:
            waiting.append(writer.submit(write, piece))
            if len(waiting) >= _AHEAD:
                waiting.popleft().result()
        for future in waiting:
            future.result()


def _nameless() -> tuple[int, str]:
    """A descriptor of a new file that only we may read, and its name where it needs one."""
    if sys.platform == "linux":
        with suppress(OSError):  # a file system that cannot (NFS, an old overlay); the next way can
            return os.open(folder(), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), ""
    handle, name = tempfile.mkstemp(prefix="deploy-restore-")
    if not Path("/proc/self/fd").is_dir():  # no Linux: kill -9 leaves it, in a folder that is cleared at boot
        return handle, name
    Path(name).unlink()
    return handle, ""
