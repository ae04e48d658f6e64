"""Flipped bits and truncations, many: each is found by the hashes (L0) and by decoding (L1), whoever checks.

What decoding alone, without a hash, does not see changes nothing: the content is the same to the last byte.
Of a frame's header that is said exactly; in a block it is what fills up the description of its codes.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest

from deploy.backup.archive import FRAME_BYTES, ArchiveDamaged, Stored, read_archive, write_archive
from deploy.backup.encryption import sealing, unsealing
from deploy.buckets.streams import crc32c

SEED = 4711
FLIPS, TRUNCATIONS = 200, 50
# (byte of a frame, bit): the header's unused bit (RFC 8878, 3.1.1.1.1.3), and those of the window's size
# (3.1.1.1.2) that only make it larger than it need be. A short frame has no window but itself.
SHORT_FRAME = [(4, 4)]
FULL_FRAME = [(4, 4), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4), (5, 5)]
HEADER_BYTES = 6
MAGIC = b"\x28\xb5\x2f\xfd"


Unseal = Callable[[Generator[bytes]], Generator[bytes]]


@dataclass(frozen=True)
class Archive:
    raw: bytes
    stored: bytes
    expected: Stored
    frames: tuple[int, ...]  # where each begins; of an encrypted one nobody can tell
    unseal: Unseal | None = None

    def found_by_hashes(self, damaged: bytes) -> bool:
        """L0: of the stored bytes, without a decoder."""
        assert crc32c(damaged) != self.expected.crc32c
        return hashlib.sha256(damaged).hexdigest() != self.expected.sha256

    def decoded(self, damaged: bytes) -> bytes | None:
        """L1 alone: the hashes are those of the damaged bytes, so they tell nothing. None: it was found."""
        unhelpful = replace(
            self.expected,
            sha256=hashlib.sha256(damaged).hexdigest(),
            crc32c=crc32c(damaged),
        )
        try:
            return b"".join(read_archive(io.BytesIO(damaged), unhelpful, unseal=self.unseal))
        except ArchiveDamaged:
            return None


def dumped() -> bytes:
    """What dumps are made of: text, numbers, bytes that do not compress, zeros."""
    chance = random.Random(SEED)  # noqa: S311 – test data
    rows = (
        f"{n}\tname {chance.randrange(500)}\t{chance.random()}\t{chance.randbytes(30).hex()}\n".encode()
        for n in range(30_000)
    )
    return b"PGDMP" + b"".join(rows) + chance.randbytes(700_000) + bytes(900_000) + b"end" * 100


@pytest.fixture(scope="module")
def archive() -> Archive:
    """Several frames."""
    raw, out = dumped(), io.BytesIO()
    expected = write_archive(io.BytesIO(raw), out, level=1, progress=lambda _: None)
    stored = out.getvalue()
    frames, at = [], stored.find(MAGIC)
    while at >= 0:
        frames.append(at)
        at = stored.find(MAGIC, at + 4)
    assert len(frames) >= 4
    assert len(stored) > 2_000_000
    return Archive(raw, stored, expected, tuple(frames))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The same, encrypted."""
    key = pyrage.x25519.Identity.generate()
    path = tmp_path_factory.mktemp("key") / "key.txt"
    path.write_text(str(key))
    path.chmod(0o600)
    recipients = (str(key.to_public()),)
    raw, out = dumped(), io.BytesIO()
    expected = write_archive(io.BytesIO(raw), out, level=1, progress=lambda _: None, seal=sealing(recipients))
    conf: Any = SimpleNamespace(backup=SimpleNamespace(age_identity=str(path)))
    manifest: Any = SimpleNamespace(encryption={"method": "age", "recipients": list(recipients)})
    return Archive(raw, out.getvalue(), expected, (), unsealing(conf, manifest))


def flipped(stored: bytes, byte: int, bit: int) -> bytes:
    return stored[:byte] + bytes([stored[byte] ^ 1 << bit]) + stored[byte + 1 :]


def test_the_archive_itself_is_whole(archive: Archive) -> None:
    assert archive.decoded(archive.stored) == archive.raw


def test_every_flipped_bit_is_found_by_hashes_and_by_decoding(archive: Archive) -> None:
    chance = random.Random(SEED)  # noqa: S311 – where to flip
    edges = [0, 1, 4, 5, len(archive.stored) - 1, len(archive.stored) - 4]
    edges += [at + offset for at in archive.frames[1:] for offset in (-1, -4, 0, 3, 4, 5, 8, 9)]
    bytes_ = edges + [chance.randrange(len(archive.stored)) for _ in range(FLIPS - len(edges))]
    assert len(bytes_) == FLIPS
    unseen = 0
    for byte in bytes_:
        bit = chance.randrange(8)
        damaged = flipped(archive.stored, byte, bit)
        assert archive.found_by_hashes(damaged)
        with pytest.raises(ArchiveDamaged):  # as `backups verify` and a restore read it
            b"".join(read_archive(io.BytesIO(damaged), archive.expected))
        if (raw := archive.decoded(damaged)) is not None:
            assert raw == archive.raw  # what was not found is no other data
            unseen += 1
    assert unseen <= len(edges) / 8  # only of the edges; a frame's body is under its checksum


def test_every_truncation_is_found_by_hashes_and_by_decoding(archive: Archive) -> None:
    chance = random.Random(SEED)  # noqa: S311 – where to cut
    lengths = [0, 1, 4, len(archive.stored) - 1, len(archive.stored) - 4, *archive.frames[1:]]
    lengths += [chance.randrange(len(archive.stored)) for _ in range(TRUNCATIONS - len(lengths))]
    for length in lengths:
        damaged = archive.stored[:length]
        assert archive.found_by_hashes(damaged)
        assert archive.decoded(damaged) is None, length


@pytest.mark.parametrize(("number", "unused"), [(0, FULL_FRAME), (-1, SHORT_FRAME)])
def test_of_a_frames_own_bytes_a_few_bits_alone_are_not_seen_by_decoding(
    archive: Archive, number: int, unused: list[tuple[int, int]]
) -> None:
    """Every bit of the header, of the first block's beginning, and of the end with the checksum."""
    start = archive.frames[number]
    end = next((at for at in archive.frames if at > start), len(archive.stored))
    frame = archive.stored[start:end]
    content = archive.raw[-(len(archive.raw) % FRAME_BYTES) :] if number else archive.raw[:FRAME_BYTES]
    expected = replace(archive.expected, raw_bytes=len(content), stored_bytes=len(frame))
    alone = Archive(content, frame, expected, (0,))
    assert alone.decoded(frame) == content
    unseen = []
    for byte in [*range(40), *range(len(frame) - 12, len(frame))]:
        for bit in range(8):
            raw = alone.decoded(flipped(frame, byte, bit))
            if raw is not None:
                assert raw == content
                if byte < HEADER_BYTES or byte >= len(frame) - 4:
                    unseen.append((byte, bit))
    assert unseen == unused


def test_doubled_swapped_and_missing_frames_are_found(archive: Archive) -> None:
    first, second, third = archive.frames[:3]
    stored = archive.stored
    for damaged in (
        stored[:second] + stored,  # the first one twice
        stored[second:third] + stored[:second] + stored[third:],  # two exchanged
        stored[:second] + stored[third:],  # one missing
        stored + b"\0",
        stored + stored[first:second],
    ):
        assert archive.found_by_hashes(damaged)
        with pytest.raises(ArchiveDamaged):
            b"".join(read_archive(io.BytesIO(damaged), archive.expected))


def test_every_flip_and_truncation_of_an_encrypted_archive_is_found(sealed: Archive) -> None:
    """The cipher's own authentication finds each: there is no bit that it does not cover."""
    assert sealed.decoded(sealed.stored) == sealed.raw
    chance = random.Random(SEED)  # noqa: S311 – where to flip and cut
    size = len(sealed.stored)
    places = [*range(0, 200, 10), size - 1, size - 16]  # the header, and the last tag
    for byte in places + [chance.randrange(size) for _ in range(FLIPS - len(places))]:
        damaged = flipped(sealed.stored, byte, chance.randrange(8))
        assert sealed.found_by_hashes(damaged)
        assert sealed.decoded(damaged) is None, byte
    for length in [0, 1, size - 1, *(chance.randrange(size) for _ in range(TRUNCATIONS - 3))]:
        damaged = sealed.stored[:length]
        assert sealed.found_by_hashes(damaged)
        assert sealed.decoded(damaged) is None, length
