"""Object stores: Google Cloud Storage, or a local folder with the same guarantees."""

from __future__ import annotations

from functools import lru_cache

from deploy.reporting.findings import Refusal

from .base import BUCKET_URL_INVALID, CLIENT_MISSING, Bucket

__all__ = ["Bucket", "open_bucket"]


@lru_cache(maxsize=16)
def open_bucket(url: str) -> Bucket:
    """The bucket at `gs://BUCKET[/PREFIX]` or `file:///ABSOLUTE/PATH`. Nothing is sent or created yet.

    Raises:
        Refusal: deploy.K001 for any other address, deploy.K005 where Google's library is not installed.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        from .local import LocalBucket

        return LocalBucket(rest)
    if scheme == "gs" and rest.strip("/"):
        try:
            from .gcs import GCSBucket
        except ImportError as error:
            raise Refusal(CLIENT_MISSING(url=url, module=error.name)) from error

        name, _, prefix = rest.partition("/")
        return GCSBucket(name, prefix)
    raise Refusal(BUCKET_URL_INVALID(url=url))
