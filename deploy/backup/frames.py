"""Whole zstd frames out of a stream, found by their headers (RFC 8878, 3.1.1), and decoded side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, repeat
from typing import cast

# Ours hold 1 MiB, earlier ones 4. A forged one must not make us allocate gigabytes.
_LARGEST_FRAME_BYTES = 8 * 1024 * 1024
_LONGEST_HEADER_BYTES = 18
_BLOCK_HEADER_BYTES = 3
_CHECKSUM_BYTES = 4
_RLE, _RESERVED = 1, 3
_THREADS = 2  # zstd lets go of the interpreter's lock; a third would only wait for the bucket or the disk
_AHEAD = 4  # frames being decoded or waiting to be taken
_BUFFER_BYTES = 1024 * 1024  # what a frame of ours holds; a larger one gets memory of its own
REUSED_AFTER = 8


class FrameDamaged(ValueError):  # noqa: N818 – reads as the fact it is
    """The bytes are no whole frame of ours; the message says how and near which byte."""


def decoded(pieces: Iterable[bytes], *, lasting: bool = True) -> Iterator[bytes]:
    """The content of each frame, in order.

    Args:
        lasting: if not, what is yielded is a view of memory that is used again: it is right until
            `REUSED_AFTER` more have been taken. Fresh memory costs nearly as much as the decoding.

    Raises:
        FrameDamaged: something that is not a frame with a size and a checksum, one that does not decode, or
            an end within one.
    """
    import zstandard

    def decode(frame: bytes, end: int, buffer: bytearray | None) -> bytes:
        try:
            size = zstandard.frame_content_size(frame)
            decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_FRAME_BYTES)
            if buffer is None or size > len(buffer):
                return decompressor.decompress(frame)
            whole = memoryview(buffer)[:size]
            with decompressor.stream_reader(frame) as reader:
                filled = 0
                while filled < size and (count := reader.readinto(whole[filled:])):
                    filled += count
                # The checksum is behind the last byte; the frame's end is there only when it was right.
                if filled != size or reader.read(1):
                    raise FrameDamaged(f"a frame near byte {end} has another size than it says")
        except zstandard.ZstdError as error:
            raise FrameDamaged(f"a frame near byte {end} does not decode ({error})") from error
        return cast(bytes, whole)  # as good as bytes for whoever writes it

    waiting: deque[Future[bytes]] = deque()
    buffers: Iterator[bytearray | None] = (
        repeat(None)
        if lasting
        else cycle([bytearray(_BUFFER_BYTES) for _ in range(_AHEAD + REUSED_AFTER + 1)])
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="archive-decode") as pool:
        try:
            for frame, end in _split(pieces):
                waiting.append(pool.submit(decode, frame, end, next(buffers)))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _split(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Every frame, and the number of bytes up to its end."""
    held, gone = bytearray(), 0
    position = 0  # in `held`: of the block header to look at, 0 for the frame's own
    for piece in pieces:
        held += piece
        while True:
            if position == 0:
                position = _after_header(held, gone)
                if position == 0:
                    break
            end, position = _after_blocks(held, position, gone)
            if end == 0:
                break
            yield bytes(held[:end]), gone + end
            del held[:end]
            gone, position = gone + end, 0
    if held:
        raise FrameDamaged(f"it ends within a frame, after {gone + len(held)} bytes")


def _after_header(held: bytearray, gone: int) -> int:
    """Where a frame's first block begins; 0 when more bytes are needed to know."""
    import zstandard

    head = bytes(held[:_LONGEST_HEADER_BYTES])
    if len(head) < _LONGEST_HEADER_BYTES and not _is_whole(head):
        return 0
    try:
        found = zstandard.get_frame_parameters(head)
        size = zstandard.frame_header_size(head)
    except zstandard.ZstdError as error:
        raise FrameDamaged(f"there is no frame at byte {gone} ({error})") from error
    if not found.has_checksum or not 0 <= found.content_size <= _LARGEST_FRAME_BYTES:
        raise FrameDamaged(f"the frame at byte {gone} is not one that a backup writes")
    return int(size)


def _is_whole(head: bytes) -> bool:
    """A frame that is shorter than the longest header: its last bytes may be all there is."""
    return len(head) >= 5 + _BLOCK_HEADER_BYTES + _CHECKSUM_BYTES


def _after_blocks(held: bytearray, position: int, gone: int) -> tuple[int, int]:
    """The frame's end (0: not all here yet) and the block header to go on with."""
    while len(held) >= position + _BLOCK_HEADER_BYTES:
        header = int.from_bytes(held[position : position + _BLOCK_HEADER_BYTES], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED or position > _LARGEST_FRAME_BYTES * 2:
            raise FrameDamaged(f"the frame at byte {gone} has no end")
        after = position + _BLOCK_HEADER_BYTES + (1 if kind == _RLE else size)
        if last:
            end = after + _CHECKSUM_BYTES
            return (end, position) if len(held) >= end else (0, position)
        position = after
    return 0, position
