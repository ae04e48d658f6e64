"""The archive's bytes, without a database."""

from __future__ import annotations

import io
import os
import threading

import pytest

from deploy.backup.archive import FRAME_BYTES, ArchiveDamaged, Stored, read_archive, write_archive
from deploy.backup.frames import REUSED_AFTER


def written(raw: bytes, level: int = 1) -> tuple[bytes, Stored]:
    out = io.BytesIO()
    stored = write_archive(io.BytesIO(raw), out, level=level, progress=lambda _: None)
    return out.getvalue(), stored


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES + 7])
@pytest.mark.parametrize("level", [1, 3])
def test_what_goes_in_comes_out(size: int, level: int) -> None:
    raw = os.urandom(min(size, 100_000)) + bytes(max(0, size - 100_000))
    archive, stored = written(raw, level)

    assert b"".join(read_archive(io.BytesIO(archive), stored)) == raw
    assert (stored.raw_bytes, stored.stored_bytes) == (size, len(archive))


def test_every_frame_carries_its_size_and_a_checksum() -> None:
    import zstandard

    archive, _ = written(b"x" * (FRAME_BYTES + 1))

    first = zstandard.get_frame_parameters(archive)
    assert (first.content_size, first.has_checksum) == (FRAME_BYTES, True)


def test_a_trickling_pipe_fills_whole_frames() -> None:
    read, write = os.pipe()

    def trickle() -> None:
        with os.fdopen(write, "wb", buffering=0) as pipe:
            for _ in range(100):
                pipe.write(b"0123456789" * 100)

    thread = threading.Thread(target=trickle)
    thread.start()
    out = io.BytesIO()
    seen: list[int] = []
    with os.fdopen(read, "rb", buffering=0) as pipe:
        stored = write_archive(pipe, out, level=1, progress=seen.append)
    thread.join()

    assert seen == [100_000]
    assert b"".join(read_archive(io.BytesIO(out.getvalue()), stored)) == b"0123456789" * 10_000


def test_a_writer_that_fails_stops_the_reading() -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, "No space left on device")

    class Endless:
        def read(self, size: int = -1, /) -> bytes:
            return bytes(size)

    with pytest.raises(OSError, match="No space"):
        write_archive(Endless(), Full(), level=1, progress=lambda _: None)
    for thread in threading.enumerate():
        if thread.name == "archive-read-ahead":
            thread.join(5)
            assert not thread.is_alive()


def test_whatever_a_source_raises_reaches_the_caller() -> None:
    class Broken:
        def read(self, size: int = -1, /) -> bytes:
            raise LookupError("of a library that reads over the network")

    with pytest.raises(LookupError, match="of a library"):
        write_archive(Broken(), io.BytesIO(), level=1, progress=lambda _: None)


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    archive, stored = written(b"some text that is worth keeping " * 4)

    for position in range(len(archive)):
        damaged = bytearray(archive)
        damaged[position] ^= 0x10
        for bad in (bytes(damaged), archive[:position]):
            for lasting in (True, False):
                with pytest.raises(ArchiveDamaged):
                    b"".join(read_archive(io.BytesIO(bad), stored, lasting=lasting))


def test_an_archive_that_swells_is_cut_short() -> None:
    archive, stored = written(bytes(FRAME_BYTES))
    smaller = Stored(1000, stored.stored_bytes, stored.sha256, stored.crc32c)

    with pytest.raises(ArchiveDamaged, match="more than the 1000 bytes"):
        b"".join(read_archive(io.BytesIO(archive), smaller))


def test_right_sizes_and_frames_are_not_enough() -> None:
    archive, stored = written(b"text")
    other, _ = written(b"test")
    assert len(other) == len(archive)

    with pytest.raises(ArchiveDamaged, match="SHA-256"):
        b"".join(read_archive(io.BytesIO(other), stored))


@pytest.mark.parametrize("lasting", [True, False])
def test_frames_come_in_order_however_the_bytes_arrive(lasting: bool) -> None:
    raw = b"".join(os.urandom(1000) + bytes(FRAME_BYTES - 1000 + n) for n in range(20))
    archive, stored = written(raw)

    class Trickling(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(997)

    taken: list[bytes] = []
    found = b""
    for piece in read_archive(Trickling(archive), stored, lasting=lasting):
        taken.append(piece)
        if len(taken) > REUSED_AFTER:  # so long what is not lasting can be held
            found += bytes(taken.pop(0))
    assert found + b"".join(taken) == raw


def test_a_frame_without_a_checksum_or_of_gigabytes_is_no_frame_of_ours() -> None:
    import zstandard

    for params in ({"write_checksum": False}, {"write_checksum": True, "write_content_size": False}):
        archive = zstandard.ZstdCompressor(**params).compress(b"text")
        if params.get("write_content_size") is False:
            compressor = zstandard.ZstdCompressor(**params).compressobj()
            archive = compressor.compress(b"text") + compressor.flush()
        with pytest.raises(ArchiveDamaged, match="not one that a backup writes"):
            b"".join(read_archive(io.BytesIO(archive), Stored(4, len(archive), "0" * 64, "")))
    vast, _ = written(b"text")
    vast = vast[:4] + bytes([vast[4] | 0xC0]) + (1 << 60).to_bytes(8, "little") + vast[5:]
    with pytest.raises(ArchiveDamaged):
        b"".join(read_archive(io.BytesIO(vast), Stored(4, len(vast), "0" * 64, "")))
