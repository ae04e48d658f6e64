"""Streams that compute the CRC32C of what passes through them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import google_crc32c

from .base import ObjectCorrupt, ObjectInfo

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_READ_BYTES = 1 << 20


class Checksum:
    """A running CRC32C (Castagnoli, RFC 4960 appendix B) and the count of bytes it covers."""

    def __init__(self) -> None:
        self._value = 0
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        self._value = google_crc32c.extend(self._value, data)
        self.size_bytes += len(data)

    def encoded(self) -> str:
        """Base64 of the big-endian value, as GCS writes it."""
        return base64.b64encode(self._value.to_bytes(4, "big")).decode()


def crc32c(data: bytes) -> str:
    """The checksum of `data` as GCS writes it."""
    checksum = Checksum()
    checksum.update(data)
    return checksum.encoded()


class CheckedReader(io.RawIOBase):
    """Reads an object through `fetch(size_bytes)`, which gives that many bytes or fewer, and checks it.

    The check happens with the last byte, not after it: whoever reads to the end, by whatever sizes, gets
    `ObjectCorrupt` instead of the last piece of a damaged object. Wrap it in `io.BufferedReader` for
    line-wise reading.
    """

    def __init__(self, info: ObjectInfo, fetch: Callable[[int], bytes]) -> None:
        self._info = info
        self._fetch = fetch
        self._checksum = Checksum()
        self._check_at_end()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: ReadableBuffer, /) -> int:
        if self.closed:
            raise ValueError("read of a closed object stream")
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._info.size_bytes - self._checksum.size_bytes)
        if wanted <= 0:
            return 0
        data = self._fetch(wanted)
        if not data:
            raise ObjectCorrupt(
                self._info.name,
                expected=f"{self._info.size_bytes} bytes",
                actual=f"{self._checksum.size_bytes} bytes",
            )
        self._checksum.update(data)
        self._check_at_end()
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        # The inherited one goes on in steps of 8 KiB.
        return b"".join(iter(lambda: self.read(_READ_BYTES) or b"", b""))

    def _check_at_end(self) -> None:
        if self._checksum.size_bytes == self._info.size_bytes:
            actual = self._checksum.encoded()
            if actual != self._info.crc32c:
                raise ObjectCorrupt(self._info.name, expected=self._info.crc32c, actual=actual)


class ChecksumWriter(io.BufferedIOBase):
    """Passes what is written on to `sink`, in the pieces in which it came.

    Closing it only ends the writing (compressors close what they write to): whether the object comes to be
    is decided by how the `with` block of `Bucket.open_write` is left.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self.checksum = Checksum()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        if self.closed:
            raise ValueError("write to a closed object stream")
        piece = bytes(data)
        self.checksum.update(piece)
        self._sink(piece)
        return len(piece)
