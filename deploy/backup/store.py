"""Put one archive into the bucket, whole and checked, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deploy.buckets import Bucket
from deploy.buckets.base import BucketError
from deploy.buckets.lost_answers import landed
from deploy.reporting.findings import Refusal

from .archive import Readable, write_archive
from .encryption import sealing
from .findings import ARCHIVE_NOT_STORED
from .manifest import Part
from .naming import Identity

T = TypeVar("T")


def store_archive(
    bucket: Bucket,
    identity: Identity,
    backup_id: str,
    file: str,
    source: Readable,
    *,
    level: int,
    guard: Callable[[], None],
    finish: Callable[[], T],
    progress: Callable[[int], None] = lambda _: None,
    tables: tuple[str, ...] = (),
    streams: int = 1,
    recipients: tuple[str, ...] = (),
) -> tuple[Part, T]:
    """Stream `source` to its end into a new object, and return what is stored and what `finish` returned.

    Args:
        level: zstd's.
        guard: called before anything becomes visible.
        finish: called at the end of `source`, before the object exists; what it raises keeps it from existing
            (a dump program's exit code).
        progress: told the raw bytes so far.
        tables: see `Part`.
        streams: how many are stored at once, which share the memory for reading ahead.
        recipients: the public keys it is encrypted for; none: it is not.

    Raises:
        Refusal: deploy.B021 (exit code 1) when the bucket holds something else than was written.
        BucketError: the bucket could not be written, or has another object of this name.
    """
    name = identity.object_name(backup_id, file)
    seal = sealing(recipients) if recipients else None
    closing = False
    try:
        with bucket.open_write(name, if_generation=0, content_type="application/zstd") as out:
            stored = write_archive(source, out, level=level, progress=progress, streams=streams, seal=seal)
            finished = finish()
            guard()
            closing = True
        info = bucket.stat(name)
    except BucketError:
        # Hours of dumping are not given up for an answer that was lost: the object is there, or it is not.
        info = landed(bucket, name, stored.stored_bytes, stored.crc32c) if closing else None
        if info is None:
            raise
    if info is None or info.size_bytes != stored.stored_bytes or info.crc32c != stored.crc32c:
        there = f"{info.size_bytes} bytes, CRC32C {info.crc32c}" if info else "nothing"
        written = f"{stored.stored_bytes} bytes, CRC32C {stored.crc32c}"
        raise Refusal(ARCHIVE_NOT_STORED(id=backup_id, stored=there, written=written), exit_code=1)
    part = Part(
        file, info.generation, stored.raw_bytes, stored.stored_bytes, stored.sha256, stored.crc32c, tables
    )
    return part, finished
