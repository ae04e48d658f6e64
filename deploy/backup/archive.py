"""The archive's bytes: into zstd frames with checksums on the way out, checked on the way in.

Each frame holds `FRAME_BYTES` of the dump, its size and a checksum (RFC 8878, 3.1.1), so damage is found
where it is, memory is bounded, and frames are decoded side by side.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from .frames import FrameDamaged, decoded

FRAME_BYTES = 4 * 1024 * 1024
_READ_AHEAD = 4  # frames: the dump program goes on while the bucket is slow, at 16 MiB of memory
_PIECE_BYTES = 1024 * 1024


class ArchiveDamaged(ValueError):  # noqa: N818 – reads as the fact it is
    """The bytes are not what was written; the message says how."""


class Readable(Protocol):
    """A pipe, a file, an object's reader."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: sizes in bytes, `sha256` hexadecimal and `crc32c` in base64 of the stored bytes."""

    raw_bytes: int
    stored_bytes: int
    sha256: str
    crc32c: str


def write_archive(source: Readable, out: BinaryIO, *, level: int, progress: Callable[[int], None]) -> Stored:
    """Compress `source` to its end into `out`. `progress` is told the raw bytes so far."""
    import google_crc32c
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    sha256, crc32c = hashlib.sha256(), google_crc32c.Checksum()
    raw_bytes = stored_bytes = 0
    for block in _read_ahead(source):
        frame = compressor.compress(block)
        sha256.update(frame)
        crc32c.update(frame)
        out.write(frame)
        raw_bytes += len(block)
        stored_bytes += len(frame)
        progress(raw_bytes)
    return Stored(raw_bytes, stored_bytes, sha256.hexdigest(), b64encode(crc32c.digest()).decode())


def _read_ahead(source: Readable) -> Iterator[bytes]:
    """Blocks of `FRAME_BYTES` (the last one shorter), read in a thread up to a few blocks ahead."""
    blocks: queue.Queue[bytes | BaseException] = queue.Queue(_READ_AHEAD)
    stopped = threading.Event()

    def put(item: bytes | BaseException) -> None:
        while not stopped.is_set():
            try:
                blocks.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def fill() -> None:
        try:
            while not stopped.is_set():
                block = _read_fully(source, FRAME_BYTES)
                put(block)
                if not block:
                    return
        except Exception as error:  # noqa: BLE001 – raised again where the blocks are taken
            put(error)

    reader = threading.Thread(target=fill, name="archive-read-ahead", daemon=True)
    reader.start()
    try:
        while block := blocks.get():
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        stopped.set()


def _read_fully(source: Readable, size: int) -> bytes:
    pieces: list[bytes] = []
    while size and (piece := source.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def read_archive(source: Readable, expected: Stored) -> Iterator[bytes]:
    """The raw bytes of an archive, a frame at a time. Only after the last one is all of it known to be right.

    Raises:
        ArchiveDamaged: bad frame, truncation, or another size or SHA-256 than `expected`.
    """
    sha256 = hashlib.sha256()
    raw_bytes = stored_bytes = 0

    def pieces() -> Iterator[bytes]:
        nonlocal stored_bytes
        while piece := source.read(_PIECE_BYTES):
            sha256.update(piece)
            stored_bytes += len(piece)
            yield piece

    try:
        for raw in decoded(pieces()):
            raw_bytes += len(raw)
            if raw_bytes > expected.raw_bytes:
                raise ArchiveDamaged(f"it holds more than the {expected.raw_bytes} bytes that were dumped")
            if raw:
                yield raw
    except FrameDamaged as error:
        raise ArchiveDamaged(str(error)) from error
    if stored_bytes != expected.stored_bytes or raw_bytes != expected.raw_bytes:
        raise ArchiveDamaged(
            f"it ends after {stored_bytes} of {expected.stored_bytes} bytes"
            f" ({raw_bytes} of {expected.raw_bytes} raw)"
        )
    if sha256.hexdigest() != expected.sha256:
        raise ArchiveDamaged(f"its SHA-256 is {sha256.hexdigest()}, and was {expected.sha256}")
