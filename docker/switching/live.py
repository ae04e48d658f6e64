"""live/: which colour Caddy sends requests to. One rename(2) is the switch.

`backend.blue` or `backend.green` is there, never both; Caddy looks at each request. A rename closes no
connection and can't be seen half done, and the disk has it after a power cut (the folder is synced).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .names import other


class Live:
    """The folder. It is mounted read-only into Caddy, so files are created with a mode that all may read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder and its canary's; both stay, because Caddy has mounted the first."""
        (self.folder / "canary").mkdir(mode=0o755, parents=True, exist_ok=True)

    def colour(self, part: str) -> str:
        """The colour that gets the part's requests, or "" before the first rollout. As Caddy decides it."""
        if (self.folder / f"{part}.green").exists():
            return "green"
        return "blue" if (self.folder / f"{part}.blue").exists() else ""

    def switch(self, part: str, colour: str) -> bool:
        """Send the part's requests to `colour`; False when they went there already."""
        if self.colour(part) == colour:
            return False
        wanted = self.folder / f"{part}.{colour}"
        before = self.folder / f"{part}.{other(colour)}"
        if before.exists():
            before.rename(wanted)
        else:
            wanted.touch(mode=0o644)
        _sync(self.folder)
        return True

    def canary(self, buckets: int) -> None:
        """Send requests of the first `buckets` of 256 to the backend's other colour."""
        for number in range(buckets):
            (self.folder / "canary" / f"{number:02x}").touch(mode=0o644)
        _sync(self.folder / "canary")

    def canary_buckets(self) -> int:
        """How many of 256 buckets the canary gets."""
        with suppress(FileNotFoundError):
            return sum(1 for _ in (self.folder / "canary").iterdir())
        return 0

    def clear_canary(self) -> None:
        """Send all requests to the live colour."""
        for path in (self.folder / "canary").glob("[0-9a-f][0-9a-f]"):
            path.unlink()
        self.prepare()
        _sync(self.folder / "canary")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
