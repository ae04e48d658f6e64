"""Google Cloud Storage's older generations: noncurrent ones (object versioning) and soft-deleted ones.

https://cloud.google.com/storage/docs/object-versioning, https://cloud.google.com/storage/docs/soft-delete
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .base import BucketError, PreconditionFailed
from .gcs import GCSBucket
from .gcs_errors import translated
from .versions import State, Version

_FIELDS = "items(name,size,generation,crc32c,timeDeleted,softDeleteTime),nextPageToken"
_TIMEOUT_SECONDS = (5.0, 60.0)


class GCSVersions(GCSBucket):
    """The objects of bucket `name` below `prefix`, whatever they are called (see `Versions`)."""

    def __init__(self, name: str, prefix: str = "", *, retry_seconds: float = 60, client: Any = None) -> None:
        super().__init__(name, prefix, retry_seconds=retry_seconds, client=client)

    @property
    def prefix(self) -> str:
        return self._prefix

    def live(self) -> Iterator[Version]:
        return self._listed()

    def every(self) -> Iterator[Version]:
        return self._listed(versions=True)

    def soft_deleted(self) -> Iterator[Version]:
        return self._listed(soft_deleted=True)

    def bring_back(self, version: Version, *, if_generation: int) -> None:
        place = f"gs://{self._name}/{version.name}#{version.generation}"
        bucket = self._connected().bucket(self._name)
        try:
            with translated("bring back", place):
                if version.state == "soft-deleted":
                    bucket.restore_blob(
                        version.name,
                        generation=version.generation,
                        if_generation_match=if_generation,
                        timeout=_TIMEOUT_SECONDS,
                        retry=self._retry,
                    )
                else:
                    self._rewrite(bucket, version, if_generation)
        except PreconditionFailed:
            # The answer to an earlier try of ours may have been lost: then the content is there.
            if not self._is_live(bucket, version):
                raise

    def _rewrite(self, bucket: Any, version: Version, if_generation: int) -> None:
        """Copied within the service, in steps where it is large: no byte comes here."""
        source = bucket.blob(version.name, generation=version.generation)
        token = None
        while True:
            token, *_ = bucket.blob(version.name).rewrite(
                source,
                token=token,
                if_generation_match=if_generation,
                timeout=_TIMEOUT_SECONDS,
                retry=self._retry,
            )
            if token is None:
                return

    def _is_live(self, bucket: Any, version: Version) -> bool:
        with translated("read", f"gs://{self._name}/{version.name}"):
            blob = bucket.get_blob(version.name, timeout=_TIMEOUT_SECONDS, retry=self._retry)
        return blob is not None and (blob.crc32c, blob.size) == (version.crc32c, version.size_bytes)

    def _listed(self, **which: bool) -> Iterator[Version]:
        with translated("list", self.url):
            for blob in self._connected().list_blobs(
                self._name,
                prefix=self._prefix or None,
                fields=_FIELDS,
                timeout=_TIMEOUT_SECONDS,
                retry=self._retry,
                **which,
            ):
                yield _version(blob._properties)


def _version(resource: dict[str, Any]) -> Version:
    state: State = "live"
    if resource.get("softDeleteTime"):
        state = "soft-deleted"
    elif resource.get("timeDeleted"):
        state = "noncurrent"
    try:
        return Version(
            resource["name"], int(resource["generation"]), int(resource["size"]), resource["crc32c"], state
        )
    except (KeyError, ValueError) as error:
        raise BucketError(f"the service's description of {resource.get('name')} lacks {error}") from error
