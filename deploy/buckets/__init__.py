"""Object stores: Google Cloud Storage, or a local folder with the same guarantees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from deploy.reporting.findings import Refusal

from .base import BUCKET_URL_INVALID, CLIENT_MISSING, Bucket

__all__ = ["Bucket", "open_bucket", "used_instead"]

_instead: dict[str, Bucket] = {}


def open_bucket(url: str) -> Bucket:
    """The bucket at `gs://BUCKET[/PREFIX]` or `file:///ABSOLUTE/PATH`. Nothing is sent or created yet.

    Raises:
        Refusal: deploy.K001 for any other address, deploy.K005 where Google's library is not installed.
    """
    return _instead.get(url) or _opened(url)


@contextmanager
def used_instead(url: str, bucket: Bucket) -> Iterator[None]:
    """For the length of the block, `open_bucket(url)` is `bucket`: for tests, see `deploy.testing`."""
    before = _instead.get(url)
    _instead[url] = bucket
    try:
        yield
    finally:
        del _instead[url]
        if before is not None:
            _instead[url] = before


@lru_cache(maxsize=16)
def _opened(url: str) -> Bucket:
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


# A client's connections are its process's own.
os.register_at_fork(after_in_child=_opened.cache_clear)
