"""The archive's bytes: into zstd frames with checksums on the way out, checked on the way in.

Each frame holds `FRAME_BYTES` of the dump, its size and a checksum (RFC 8878, 3.1.1), so damage is found
where it is, memory is bounded, and frames are decoded side by side.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from typing import BinaryIO, Protocol

from .ahead import ahead
from .encryption import DoesNotDecrypt
from .frames import FrameDamaged, decoded

# Level 1 looks back half of this, so that larger frames are not smaller in sum; each costs memory.
FRAME_BYTES = 1024 * 1024
# The dump program goes on while the bucket takes a chunk. Streams that are written at once share them.
_BLOCKS_AHEAD = 4
_FRAMES_AHEAD = 8
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


def write_archive(
    source: Readable,
    out: BinaryIO,
    *,
    level: int,
    progress: Callable[[int], None],
    streams: int = 1,
    seal: Callable[[Generator[bytes]], Generator[bytes]] | None = None,
) -> Stored:
    """Compress `source` to its end into `out`, through `seal` (see `encryption.sealing`) where it is given.
    `progress` is told the raw bytes so far; `streams` is how many are written at once.

    Reading, compressing and writing each have a thread (the last one is the caller's), so that none of them
    waits for another but the slowest: the library and the hashes let go of the interpreter's lock.
    """
    import google_crc32c

    sha256, crc32c = hashlib.sha256(), google_crc32c.Checksum()
    raw_bytes = stored_bytes = 0

    def compressed() -> Generator[bytes]:
        nonlocal raw_bytes
        work = _compressed(source, level, max(1, _BLOCKS_AHEAD // streams))
        frames = ahead(work, depth=max(1, _FRAMES_AHEAD // streams), name="archive-compress")
        with closing(frames):
            for frame, size in frames:
                raw_bytes += size
                yield frame

    # `closing`: whatever stops us stops the threads.
    with closing(seal(compressed()) if seal else compressed()) as pieces:
        for piece in pieces:
            sha256.update(piece)
            crc32c.update(piece)
            out.write(piece)
            stored_bytes += len(piece)
            progress(raw_bytes)
    return Stored(raw_bytes, stored_bytes, sha256.hexdigest(), b64encode(crc32c.digest()).decode())


def _compressed(source: Readable, level: int, blocks_ahead: int) -> Generator[tuple[bytes, int]]:
    """A frame for every `FRAME_BYTES` of the source (the last one shorter), and the size of its content."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    reading = ahead(_blocks(source, blocks_ahead), depth=blocks_ahead, name="archive-read-ahead")
    with closing(reading) as blocks:
        for block in blocks:
            yield compressor.compress(block), len(block)


def _blocks(source: Readable, blocks_ahead: int) -> Generator[memoryview]:
    """The source in blocks, in buffers that are used again: fresh ones of that size would each be new pages.

    A block is good until as many more have been taken as there is room for ahead.
    """
    fill = _fill_from(source)
    # One is being filled and one is in use; the others wait.
    for buffer in _in_turn(blocks_ahead + 2):
        filled = 0
        while filled < FRAME_BYTES and (count := fill(buffer[filled:])):
            filled += count
        if filled:
            yield buffer[:filled]
        if filled < FRAME_BYTES:
            return


def _in_turn(count: int) -> Iterator[memoryview]:
    """So many buffers, over and over, each made when it is first needed: a short source needs few."""
    buffers = []
    for _ in range(count):
        buffers.append(memoryview(bytearray(FRAME_BYTES)))
        yield buffers[-1]
    yield from cycle(buffers)


def _fill_from(source: Readable) -> Callable[[memoryview], int]:
    """Reads into a buffer, without a copy where the source can, and says how much; 0 at the end."""
    read_into = getattr(source, "readinto1", None) or getattr(source, "readinto", None)
    if read_into is not None:
        return lambda buffer: int(read_into(buffer) or 0)

    def copy(buffer: memoryview) -> int:
        piece = source.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    return copy


def read_archive(
    source: Readable,
    expected: Stored,
    *,
    unseal: Callable[[Generator[bytes]], Generator[bytes]] | None = None,
    lasting: bool = True,
) -> Iterator[bytes]:
    """The raw bytes of an archive, a frame at a time. Only after the last one is all of it known to be right.

    Args:
        unseal: see `encryption.unsealing`; for archives that are encrypted.
        lasting: see `frames.decoded`.

    Raises:
        ArchiveDamaged: bad frame, truncation, or another size or SHA-256 than `expected`.
    """
    sha256 = hashlib.sha256()
    raw_bytes = stored_bytes = 0

    def pieces() -> Generator[bytes]:
        nonlocal stored_bytes
        while piece := source.read(_PIECE_BYTES):
            sha256.update(piece)
            stored_bytes += len(piece)
            yield piece

    try:
        for raw in decoded(unseal(pieces()) if unseal else pieces(), lasting=lasting):
            raw_bytes += len(raw)
            if raw_bytes > expected.raw_bytes:
                raise ArchiveDamaged(f"it holds more than the {expected.raw_bytes} bytes that were dumped")
            if raw:
                yield raw
    except FrameDamaged as error:
        raise ArchiveDamaged(str(error)) from error
    except DoesNotDecrypt as error:
        raise ArchiveDamaged(f"it does not decrypt near byte {stored_bytes} ({error})") from error
    if stored_bytes != expected.stored_bytes or raw_bytes != expected.raw_bytes:
        raise ArchiveDamaged(
            f"it ends after {stored_bytes} of {expected.stored_bytes} bytes"
            f" ({raw_bytes} of {expected.raw_bytes} raw)"
        )
    if sha256.hexdigest() != expected.sha256:
        raise ArchiveDamaged(f"its SHA-256 is {sha256.hexdigest()}, and was {expected.sha256}")
