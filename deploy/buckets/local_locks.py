"""The locks under which a local bucket decides, and the generations that must not come again."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .local_files import SYSTEM_FOLDER, open_folder

_FOLDER = (SYSTEM_FOLDER, "locks")
_STRIPES = 64
_DIGITS = 20


class Stripe:
    """An open, locked lock file: its content is the largest generation that was deleted under it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def floor(self) -> int:
        """The largest generation deleted so far, 0 for none."""
        return int(os.pread(self._descriptor, _DIGITS, 0) or b"0")

    def raise_floor(self, generation: int) -> None:
        """Remember that `generation` was deleted, on disk when this returns."""
        if generation > self.floor():
            # One write of a fixed width inside one disk sector: old or new, never between.
            os.pwrite(self._descriptor, f"{generation:0{_DIGITS}d}".encode(), 0)
            os.fsync(self._descriptor)


@contextmanager
def locked(root: Path, name: str) -> Iterator[Stripe]:
    """Hold the lock of `name` against every thread and process; the kernel frees it with its holder.

    Names share 64 locks, so nothing long may happen under one, and no second one may be taken.
    """
    with open_folder(root, _FOLDER, create=True) as folder:
        stripe = f"{zlib.crc32(name.encode()) % _STRIPES:02d}"
        descriptor = os.open(stripe, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Stripe(descriptor)
    finally:
        os.close(descriptor)
