"""A folder as a bucket, with the guarantees of Google Cloud Storage between processes and after kill -9.

How they are kept:

- A writer fills a file of its own in `%system/writing`, syncs it, and renames it to the object's name. Until
  then nobody sees it; when the writer dies, it stays behind unseen and is swept after a day.
- What decides (compare the generation, then rename or unlink) happens under `flock` on one of 64 lock files,
  chosen by the name. The kernel frees the lock of a killed process. Bodies are written outside the lock.
- A lock file also holds the largest generation deleted under it, so that a name that is deleted and made
  again goes on counting, whatever the clock does. Otherwise a generation is the time in microseconds, as in
  GCS, or one more than the last.
- Readers take no lock: they open one file, which stays whole while it is open.
"""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from .base import BucketError, ObjectCorrupt, ObjectInfo, ObjectMissing, ObjectReader, PreconditionFailed
from .local_files import (
    SUFFIX,
    SYSTEM_FOLDER,
    WRITING_FOLDER,
    open_folder,
    read_info,
    sweep_leftovers,
    trailer,
    written_early,
)
from .local_locks import locked
from .names import validate_name, validate_prefix
from .streams import CheckedReader, ChecksumWriter

_SYNC_EARLY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Properties:
    content_type: str
    cache_control: str = ""
    content_encoding: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class LocalBucket:
    """The bucket in folder `path`, which is made with the first write."""

    def __init__(self, path: str | Path) -> None:
        self._root = Path(path)
        self.url = f"file://{self._root}"
        self._swept = False
        self._sweeping = threading.Lock()

    def stat(self, name: str) -> ObjectInfo | None:
        try:
            with self._opened(name) as (_, info):
                return info
        except ObjectMissing:
            return None

    def read(self, name: str) -> bytes:
        with self.open_read(name) as stream:
            return stream.read()

    @contextmanager
    def open_read(self, name: str) -> Iterator[ObjectReader]:
        with (
            self._opened(name) as (descriptor, info),
            CheckedReader(info, lambda size: self._fetch(name, descriptor, size)) as reader,
        ):
            yield cast(ObjectReader, reader)

    def put(
        self,
        name: str,
        data: bytes,
        *,
        if_generation: int | None = None,
        content_type: str = "application/octet-stream",
        cache_control: str = "",
        content_encoding: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        properties = _Properties(content_type, cache_control, content_encoding, dict(metadata or {}))
        with self._writing(name) as (descriptor, temporary):
            writer = ChecksumWriter(lambda piece: self._write(name, descriptor, piece))
            writer.write(data)
            return self._commit(name, descriptor, temporary, writer, if_generation, properties)

    @contextmanager
    def open_write(
        self,
        name: str,
        *,
        if_generation: int | None = 0,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[BinaryIO]:
        properties = _Properties(content_type, metadata=dict(metadata or {}))
        with self._writing(name) as (descriptor, temporary):
            write = written_early(descriptor, lambda piece: self._write(name, descriptor, piece))
            with ChecksumWriter(write) as writer:
                yield cast(BinaryIO, writer)
            self._commit(name, descriptor, temporary, writer, if_generation, properties)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        validate_prefix(prefix)
        with self._translated(prefix, "list"):
            yield from self._walk((), prefix)

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        *folders, last = validate_name(name).split("/")
        if self._listed(name) is None:  # also keeps a delete from making the lock files of an empty bucket
            raise ObjectMissing(f"{self.url}/{name} does not exist")
        with self._translated(name, "delete"), locked(self._root, name) as stripe:
            current = self._listed(name)
            if current is None:
                raise ObjectMissing(f"{self.url}/{name} does not exist")
            self._require(name, current, if_generation)
            # The floor first: after a kill in between, the object is still there and nothing is lost.
            stripe.raise_floor(current.generation)
            with open_folder(self._root, folders) as folder:
                os.unlink(last + SUFFIX, dir_fd=folder)
                os.fsync(folder)

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, ObjectInfo]]:
        *folders, last = validate_name(name).split("/")
        with self._translated(name, "read"):
            try:
                with open_folder(self._root, folders) as folder:
                    descriptor = os.open(last + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
            except FileNotFoundError:
                raise ObjectMissing(f"{self.url}/{name} does not exist") from None
        try:
            yield descriptor, read_info(descriptor, name)
        finally:
            os.close(descriptor)

    @contextmanager
    def _writing(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield a new file in `%system/writing` (descriptor, name in it); gone at the end if still there."""
        validate_name(name)
        temporary = uuid.uuid4().hex
        with self._translated(name, "write"), open_folder(self._root, WRITING_FOLDER, create=True) as folder:
            self._sweep()
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells the sweeper that this writer lives
        try:
            yield descriptor, temporary
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError), open_folder(self._root, WRITING_FOLDER) as folder:
                os.unlink(temporary, dir_fd=folder)

    def _fetch(self, name: str, descriptor: int, size_bytes: int) -> bytes:
        with self._translated(name, "read"):
            return os.read(descriptor, size_bytes)

    def _write(self, name: str, descriptor: int, piece: bytes) -> None:
        with self._translated(name, "write"):
            _write_all(descriptor, piece)

    def _commit(
        self,
        name: str,
        descriptor: int,
        temporary: str,
        writer: ChecksumWriter,
        if_generation: int | None,
        properties: _Properties,
    ) -> ObjectInfo:
        *folders, last = name.split("/")
        with self._translated(name, "write"):
            if writer.checksum.size_bytes > _SYNC_EARLY_BYTES:
                os.fsync(descriptor)  # not under the lock: a large body would hold up other names
            with locked(self._root, name) as stripe:
                current = self.stat(name)
                self._require(name, current, if_generation)
                now = datetime.now(UTC)
                info = ObjectInfo(
                    name=name,
                    size_bytes=writer.checksum.size_bytes,
                    generation=max(
                        int(now.timestamp() * 1_000_000),
                        stripe.floor() + 1,
                        current.generation + 1 if current else 0,
                    ),
                    crc32c=writer.checksum.encoded(),
                    updated=now,
                    content_type=properties.content_type,
                    cache_control=properties.cache_control,
                    content_encoding=properties.content_encoding,
                    metadata=properties.metadata,
                )
                _write_all(descriptor, trailer(info))
                os.fsync(descriptor)
                with (
                    open_folder(self._root, WRITING_FOLDER) as source,
                    open_folder(self._root, folders, create=True) as target,
                ):
                    os.rename(temporary, last + SUFFIX, src_dir_fd=source, dst_dir_fd=target)
                    os.fsync(target)
                return info

    def _require(self, name: str, current: ObjectInfo | None, if_generation: int | None) -> None:
        actual = current.generation if current else 0
        if if_generation is not None and if_generation != actual:
            raise PreconditionFailed(f"{self.url}/{name} is at generation {actual}, not {if_generation}")

    def _walk(self, folders: Sequence[str], prefix: str) -> Iterator[ObjectInfo]:
        """Objects below a folder in byte order: `a` before `a-b` before `a/b`, hence the sort key."""
        base = "".join(f"{part}/" for part in folders)
        try:
            with open_folder(self._root, folders) as descriptor, os.scandir(descriptor) as entries:
                keys = sorted(
                    entry.name.removesuffix(SUFFIX) if entry.name.endswith(SUFFIX) else f"{entry.name}/"
                    for entry in entries
                    if entry.name != SYSTEM_FOLDER and not entry.is_symlink()
                )
        except FileNotFoundError:
            return  # nothing was written yet
        for key in keys:
            full = base + key
            if key.endswith("/"):
                if full.startswith(prefix) or prefix.startswith(full):
                    yield from self._walk((*folders, key[:-1]), prefix)
            elif full.startswith(prefix) and (info := self._listed(full)):
                yield info

    def _listed(self, name: str) -> ObjectInfo | None:
        try:
            return self.stat(name)
        except ObjectCorrupt:
            # One damaged file must not hide all others; whoever reads it is told.
            with suppress(FileNotFoundError):
                found = self._path(name).stat()
                updated = datetime.fromtimestamp(found.st_mtime, UTC)
                return ObjectInfo(name, found.st_size, generation=0, crc32c="", updated=updated)
        return None

    def _path(self, name: str) -> Path:
        return self._root / f"{name}{SUFFIX}"

    def _sweep(self) -> None:
        with self._sweeping:
            if not self._swept:
                self._swept = True
                sweep_leftovers(self._root)

    @contextmanager
    def _translated(self, name: str, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f"{self.url}/{name}" if name else self.url
            raise BucketError(f"could not {action} {place}: {error.strerror or error}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
