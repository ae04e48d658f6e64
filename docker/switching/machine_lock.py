"""One rollout at a time on this machine, and nothing of a killed one beside it.

Two files, because a rollout that is killed leaves programs behind (`docker-compose up` goes on): `lock` is
free the moment that rollout is gone, so that traffic can be put right at once; `children` is inherited by
every program it starts, and is free when the last of them has ended.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from .problems import BUSY_HERE, STILL_RUNNING, printable


class MachineLock:
    """Held until this process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: int | None = None

    def take(self) -> None:
        """Raises:
        Problem: rollout.R010 with exit code 75 when another has it.
        """
        # Not closed on purpose, and not inherited: Python's descriptors are close-on-exec.
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        if not _try(descriptor):
            holder = os.read(descriptor, 100).decode(errors="replace").strip()
            os.close(descriptor)
            raise BUSY_HERE(holder=printable(holder) or "it has just begun")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)

    def take_children(self, seconds: float) -> int:
        """The descriptor that programs inherit, once those of an earlier rollout have ended.

        Raises:
            Problem: rollout.R012 with exit code 75 when one still runs after `seconds`.
        """
        if self.children is not None:
            return self.children
        descriptor = os.open(self.folder / "children", os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + seconds
        while not _try(descriptor):
            if time.monotonic() >= until:
                os.close(descriptor)
                raise STILL_RUNNING(names=", ".join(_holders(self.folder / "children")) or "unknown")
            time.sleep(0.1)
        self.children = descriptor
        return descriptor


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holders(path: Path) -> list[str]:
    """`NAME (PID)` of processes that have the file open, as far as we may see."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(entry.resolve() == path.resolve() for entry in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
        except OSError:
            continue  # it has ended, or is not ours to look at
    return [one for one in found if not one.endswith(f"({os.getpid()})")]
