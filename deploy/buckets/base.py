"""What ledger, lock, backups and static files ask of an object store: a few calls with hard guarantees.

The guarantees, the same for Google Cloud Storage and a local folder:

- an object is either whole or not there, also after kill -9 of the writer;
- every write of a name makes a new, larger generation number;
- `if_generation=0` creates only if absent, `if_generation=N` replaces or deletes only generation N, and of
  any number of concurrent writers with the same precondition exactly one wins;
- every read is checked against the stored CRC32C.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from deploy.reporting.findings import Finding, FindingType

BUCKET_URL_INVALID = FindingType(
    "deploy.K001",
    "error",
    "The bucket address {url!r} is not one of gs://BUCKET[/PREFIX] or file:///ABSOLUTE/PATH.",
    'Set DEPLOY = {{"BUCKET": "gs://my-bucket/optifit"}} or "file:///var/lib/deploy".',
)
BUCKET_UNREACHABLE = FindingType(
    "deploy.K002",
    "error",
    "The bucket {url} could not be {action}: {reason}.",
    "Check the name and the permissions: gcloud storage ls {url}",
)
OBJECT_NAME_INVALID = FindingType(
    "deploy.K003",
    "error",
    "The object name {name!r} is not allowed: {reason}.",
    "Use relative names of letters, digits and / . _ - = + @ ~, without '..' and empty parts.",
)
OBJECT_CORRUPT = FindingType(
    "deploy.K004",
    "error",
    "The object {name} does not match its checksum: stored {expected}, read {actual}.",
    "Do not use this object; restore an older generation: gcloud storage ls --all-versions {name}",
)
CLIENT_MISSING = FindingType(
    "deploy.K005",
    "error",
    "The bucket {url} needs google-cloud-storage, and its module {module} is not installed.",
    "pip install 'google-cloud-storage>=3.17,<4'",
)


class BucketError(Exception):
    """The store could not do what was asked, after its retries. The message carries no credential."""


class ObjectMissing(BucketError):  # noqa: N818 – reads as the fact it is
    """There is no such object (or no such generation of it)."""


class PreconditionFailed(BucketError):  # noqa: N818 – GCS's own term (HTTP 412)
    """The object's generation is not the one required: somebody else was first."""


class ObjectCorrupt(BucketError):  # noqa: N818 – as above
    """Bytes do not match the stored checksum (or, `expected` and `actual` being sizes, the stored size)."""

    def __init__(self, name: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{name} is damaged: stored {expected}, read {actual}")
        self.name, self.expected, self.actual = name, expected, actual


def finding_of(error: BucketError, url: str, action: str = "used") -> Finding:
    """What a command reports when a bucket call failed: deploy.K004 for damage, deploy.K002 otherwise.

    `action` is the past participle of what was tried: "read", "written", "listed".
    """
    if isinstance(error, ObjectCorrupt):
        return OBJECT_CORRUPT(
            name=error.name, expected=error.expected, actual=error.actual, place=f"{url}/{error.name}"
        )
    return BUCKET_UNREACHABLE(url=url, action=action, reason=str(error).rstrip("."), place=url)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing tells of an object.

    Attributes:
        name: relative to the bucket's prefix.
        size_bytes: stored size.
        generation: grows with every write of the name.
        crc32c: base64 of the big-endian CRC32C of the stored bytes, as GCS writes it.
        updated: UTC.
    """

    name: str
    size_bytes: int
    generation: int
    crc32c: str
    updated: datetime
    content_type: str = "application/octet-stream"
    cache_control: str = ""
    content_encoding: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectReader(Protocol):
    """A readable stream; the checksum is checked when the end is reached (raises ObjectCorrupt)."""

    def read(self, size: int = -1, /) -> bytes: ...


class Bucket(Protocol):
    """One object store under one prefix. Every method may raise `BucketError`; safe for several threads."""

    url: str

    def stat(self, name: str) -> ObjectInfo | None:
        """The object's current state, or None."""

    def read(self, name: str) -> bytes:
        """The whole object, checked. Raises ObjectMissing, ObjectCorrupt."""

    def open_read(self, name: str) -> AbstractContextManager[ObjectReader]:
        """Stream the object. Raises ObjectMissing; ObjectCorrupt at the end of the stream."""

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
        """Write the whole object. `if_generation` 0: only if absent; N: only over generation N; None: always.

        Raises PreconditionFailed when the precondition does not hold.
        """

    def open_write(
        self,
        name: str,
        *,
        if_generation: int | None = 0,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[BinaryIO]:
        """Stream an object in. It exists only once the `with` block is left without an exception."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose name starts with `prefix`, in byte order of names, in one pass of pages.

        One whose properties are damaged (in a local folder) has generation 0 and no checksum; to read it
        raises ObjectCorrupt.
        """

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """Delete it. Raises ObjectMissing, PreconditionFailed."""
