"""Writes whose answer was lost: the object itself says whether they were done.

A store that was asked to write may have done so and not be heard any more, or a library that did not hear it
has asked again and was refused because of its own first try. Whoever takes either for a failure writes a
second record, gives a good archive up, or waits for a lock that is its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from .base import Bucket, BucketError, ObjectInfo
from .streams import crc32c


def put_surely(
    bucket: Bucket,
    name: str,
    data: bytes,
    *,
    if_generation: int,
    content_type: str = "application/octet-stream",
    metadata: Mapping[str, str] | None = None,
) -> ObjectInfo:
    """`bucket.put`, and where that fails, a look whether it was done.

    `data` must be unlike anybody else's (a time, a token), because that is how it is recognised.

    Raises:
        BucketError, PreconditionFailed: as `put`; where the store does not answer the look either, it is
            not known whether the object was written.
    """
    try:
        return bucket.put(
            name, data, if_generation=if_generation, content_type=content_type, metadata=metadata
        )
    except BucketError:
        found = landed(bucket, name, len(data), crc32c(data))
        if found is None or found.generation == if_generation:
            raise
        return found


def stat_surely(bucket: Bucket, name: str) -> ObjectInfo | None:
    """`bucket.stat`, asked once more where no answer came: hours of work are not given up for a lost one.

    Raises:
        BucketError: no answer came again.
    """
    try:
        return bucket.stat(name)
    except BucketError:
        return bucket.stat(name)


def landed(bucket: Bucket, name: str, size_bytes: int, crc32c: str) -> ObjectInfo | None:
    """The object, if it is there with this content; None if not, or if the store still does not answer."""
    try:
        found = bucket.stat(name)
    except BucketError:
        return None  # the caller is about to raise what it has met, which says as much
    return found if found and (found.size_bytes, found.crc32c) == (size_bytes, crc32c) else None
