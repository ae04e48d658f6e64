"""How an object lies on disk: its bytes, then its properties, in one file that is renamed into place.

    <the object's bytes><JSON of its properties><length of the JSON><CRC32C of the JSON>DEPLOY1

One file, one rename: bytes and properties change together or not at all, and whoever has the file open keeps
a whole object whatever happens to its name. The properties come last because a stream's checksum is known
only then; a listing reads the end of each file and no body.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import google_crc32c

from .base import ObjectCorrupt, ObjectInfo

# Not a character of object names: what carries it can be neither an object's folder nor anything a name
# leads to. `a%` is the object `a`, so that the object `a/b` finds its folder `a` free.
SUFFIX = "%"
SYSTEM_FOLDER = "%system"
WRITING_FOLDER = (SYSTEM_FOLDER, "writing")

LEFTOVER_SECONDS = 24 * 3600

_MAGIC = b"DEPLOY1"
_FOOTER_BYTES = 8 + 8 + len(_MAGIC)
_TAIL_BYTES = 4096
_WRITE_BACK_BYTES = 8 * 1024**2


def trailer(info: ObjectInfo) -> bytes:
    """The bytes that follow the body."""
    properties = {
        "generation": info.generation,
        "crc32c": info.crc32c,
        "updated": info.updated.isoformat(),
        "content_type": info.content_type,
        "cache_control": info.cache_control,
        "content_encoding": info.content_encoding,
        "metadata": dict(info.metadata),
    }
    text = json.dumps(properties, separators=(",", ":")).encode()
    return text + f"{len(text):08d}{google_crc32c.value(text):08x}".encode() + _MAGIC


def read_info(descriptor: int, name: str) -> ObjectInfo:
    """The properties of the open object file.

    Raises:
        ObjectCorrupt: the trailer is not one that `trailer` wrote.
    """
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    footer = tail[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or not footer.endswith(_MAGIC) or not footer[:8].isdigit():
        raise ObjectCorrupt(name, expected="a whole file", actual="a file without its properties")
    length = int(footer[:8])
    start = size - _FOOTER_BYTES - length
    text = os.pread(descriptor, length, start) if start >= 0 else b""
    actual = f"{google_crc32c.value(text):08x}"
    if actual.encode() != footer[8:16]:
        raise ObjectCorrupt(name, expected=f"properties of CRC32C {footer[8:16]!r}", actual=actual)
    properties: dict[str, Any] = json.loads(text)
    properties["updated"] = datetime.fromisoformat(properties["updated"])
    return ObjectInfo(name=name, size_bytes=start, **properties)


@contextmanager
def open_folder(root: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Yield a descriptor of the folder `parts` below `root`; no symbolic link below `root` is followed.

    With `create`, what is missing is made and each new entry is on disk (fsync) before its content.

    Raises:
        FileNotFoundError: it is not there (and `create` is false).
        OSError: ENOTDIR or ELOOP where something on the way is not a plain folder.
    """
    if create and not root.is_dir():
        new = [folder for folder in (root, *root.parents) if not folder.exists()]
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if root.parent.name == ".deploy":
            # The default place, inside somebody's repository: backups must not get into its history.
            (root.parent / ".gitignore").write_text("*\n")
        for folder in new:
            _sync_folder(folder.parent)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            except FileNotFoundError:
                if not create:
                    raise
                with suppress(FileExistsError):  # another writer made it meanwhile
                    os.mkdir(part, 0o700, dir_fd=descriptor)
                os.fsync(descriptor)
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # a folder above ours that we may pass but not open
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_leftovers(root: Path) -> None:
    """Remove what writers left behind that were killed more than a day ago."""
    with (
        suppress(FileNotFoundError),
        open_folder(root, WRITING_FOLDER) as folder,
        os.scandir(folder) as entries,
    ):
        for entry in entries:
            with suppress(FileNotFoundError, BlockingIOError):
                _remove_leftover(folder, entry.name)


def _remove_leftover(folder: int, name: str) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        if time.time() - os.fstat(descriptor).st_mtime > LEFTOVER_SECONDS:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a living writer holds it
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(descriptor)


def written_early(descriptor: int, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """`write` for the pieces of a new file, which the system brings to the disk meanwhile: the sync at its
    end has less to wait for, and a large one does not crowd out what others have in memory.
    """
    written = begun = 0

    def write_and_begin(piece: bytes) -> None:
        nonlocal written, begun
        write(piece)
        written += len(piece)
        if sys.platform == "linux" and written - begun >= _WRITE_BACK_BYTES:
            # Linux begins to write what it is told not to keep (mm/fadvise.c).
            with suppress(OSError):  # a file system that does not: the sync at the end does it all
                os.posix_fadvise(descriptor, begun, written - begun, os.POSIX_FADV_DONTNEED)
            begun = written

    return write_and_begin
