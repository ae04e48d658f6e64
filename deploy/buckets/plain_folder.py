"""A plain folder of files (MEDIA_ROOT) as versions: the modification time stands for the generation."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .base import BucketError, ObjectMissing
from .streams import Checksum
from .versions import Version

_PIECE_BYTES = 1 << 20


class PlainFolder:
    """The regular files below `path` (see `Versions`). Links are not followed, and nothing older is kept.

    Memory is for the names of one folder at a time, of those that lead to it.
    """

    prefix = ""

    def __init__(self, path: str | Path) -> None:
        self._root = Path(path)
        self.url = f"file://{self._root}"

    def live(self) -> Iterator[Version]:
        yield from self._walk("")

    def every(self) -> Iterator[Version]:
        yield from self._walk("")

    def soft_deleted(self) -> Iterator[Version]:
        return iter(())

    def bring_back(self, version: Version, *, if_generation: int) -> None:  # noqa: ARG002 – the protocol's
        raise ObjectMissing(f"{self.url} keeps no older generation of {version.name!r}")

    def _walk(self, base: str) -> Iterator[Version]:
        folder = self._root / base
        try:
            with os.scandir(folder) as entries:
                # `a-b` sorts before `a/b`, and so does the file `a-b` before what is in the folder `a`.
                names = sorted(
                    (
                        f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                        for entry in entries
                        if not entry.is_symlink()
                    ),
                    key=os.fsencode,
                )
        except FileNotFoundError:
            return  # nothing was ever stored, or deleted since
        except OSError as error:
            raise BucketError(f"could not list {folder}: {error.strerror}") from error
        for name in names:
            if name.endswith("/"):
                yield from self._walk(base + name)
            elif (version := self._version(base + name)) is not None:
                yield version

    def _version(self, name: str) -> Version | None:
        path = self._root / name
        checksum = Checksum()
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # deleted since the listing
        except OSError as error:
            raise BucketError(f"could not read {path}: {error.strerror}") from error
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                return None
            while piece := os.read(handle, _PIECE_BYTES):
                checksum.update(piece)
        except OSError as error:
            raise BucketError(f"could not read {path}: {error.strerror}") from error
        finally:
            os.close(handle)
        return Version(name, found.st_mtime_ns, found.st_size, checksum.encoded())
