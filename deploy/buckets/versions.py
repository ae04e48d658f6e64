"""Files of an application in its own bucket: named by others, listed with every generation, brought back.

Unlike a `Bucket` these stores hold names of any kind, and nothing here writes anything new into them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from deploy.reporting.findings import Refusal

from .base import BUCKET_URL_INVALID, CLIENT_MISSING

State = Literal["live", "noncurrent", "soft-deleted"]


@dataclass(frozen=True, slots=True)
class Version:
    """One generation of one file.

    Attributes:
        name: the whole name in the bucket; of a folder the path below it.
        size_bytes, generation, crc32c: as in `ObjectInfo`; in a folder the generation is the modification
            time in nanoseconds.
    """

    name: str
    generation: int
    size_bytes: int
    crc32c: str
    state: State = "live"

    @property
    def key(self) -> bytes:
        """Its place in every listing here: the bytes of the name."""
        return self.name.encode(errors="surrogateescape")


class Versions(Protocol):
    """Every method may raise `BucketError`. Listings are in byte order of names, then by generation.

    Attributes:
        url: as configured.
        prefix: what every name begins with: empty, or ending in a slash.
    """

    url: str

    @property
    def prefix(self) -> str: ...

    def live(self) -> Iterator[Version]:
        """What is there now, with checksums."""

    def every(self) -> Iterator[Version]:
        """Live and noncurrent generations."""

    def soft_deleted(self) -> Iterator[Version]:
        """Deleted generations that the bucket's soft delete policy still holds."""

    def bring_back(self, version: Version, *, if_generation: int) -> None:
        """Make the content of `version` live again, if the live generation is `if_generation` (0: none).

        Raises PreconditionFailed when it is not; ObjectMissing when the version is gone.
        """


def open_versions(url: str) -> Versions:
    """The files at `gs://BUCKET[/PREFIX]` or in the folder `file:///PATH` (a plain one, such as MEDIA_ROOT).

    Raises:
        Refusal: deploy.K001 for any other address, deploy.K005 where Google's library is not installed.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        from .plain_folder import PlainFolder

        return PlainFolder(rest)
    if scheme == "gs" and rest.strip("/"):
        try:
            from .gcs_versions import GCSVersions
        except ImportError as error:
            raise Refusal(CLIENT_MISSING(url=url, module=error.name)) from error

        name, _, prefix = rest.partition("/")
        return GCSVersions(name, prefix)
    raise Refusal(BUCKET_URL_INVALID(url=url))
