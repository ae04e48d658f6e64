"""The buckets: reachable, and a probe object can be written, read back and deleted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from deploy.buckets import open_bucket
from deploy.buckets.base import (
    BUCKET_UNREACHABLE,
    OBJECT_CORRUPT,
    Bucket,
    BucketError,
    ObjectCorrupt,
    ObjectMissing,
    PreconditionFailed,
)
from deploy.conf import DeployConf
from deploy.reporting.report import Step

from .check import Check
from .clock import skew

PROBE_FOLDER = "probe"
# A probe of a preflight that was killed; none that runs is this old.
_LEFTOVER = timedelta(hours=1)


class BucketCheck(Check):
    name = "bucket"
    looks_at = "the bucket of ledger and backups: write, read back, delete a probe"

    def url(self, conf: DeployConf) -> str:
        return conf.bucket

    def run(self, conf: DeployConf, step: Step) -> None:
        url = self.url(conf)
        step.facts["url"] = url
        try:
            with opened(url, retry_seconds=self.limit_seconds(conf) / 2) as bucket:
                probe(bucket, step)
        except BucketError as error:
            step.add(BUCKET_UNREACHABLE(url=url, action=step.note or "reached", reason=error, place=url))


class StaticBucketCheck(BucketCheck):
    name = "static_bucket"
    looks_at = "the bucket of static files: write, read back, delete a probe"

    def url(self, conf: DeployConf) -> str:
        return conf.static_bucket


@contextmanager
def opened(url: str, *, retry_seconds: float) -> Iterator[Bucket]:
    """The bucket; one of Google's gives up early enough for its reason to be told within the time limit."""
    if not url.startswith("gs://"):
        yield open_bucket(url)
        return
    from deploy.buckets.gcs import GCSBucket

    name, _, prefix = url.removeprefix("gs://").partition("/")
    bucket = GCSBucket(name, prefix, retry_seconds=retry_seconds)
    try:
        yield bucket
    finally:
        bucket.close()


def probe(bucket: Bucket, step: Step) -> None:
    """Write, read back and delete one object of a random name, and sweep those of killed runs.

    `step.note` says what was being done, for the finding of a `BucketError`.
    """
    name, data = f"{PROBE_FOLDER}/{secrets.token_hex(12)}", secrets.token_bytes(64)
    step.note = "written"
    before = datetime.now(UTC)
    written = bucket.put(name, data, if_generation=0)
    after = datetime.now(UTC)
    step.note = "read"
    try:
        same = bucket.read(name) == data
    except ObjectCorrupt:
        same = False
    except BaseException:
        with suppress(BucketError):  # the first error is the one to tell; the next run sweeps
            bucket.delete(name, if_generation=written.generation)
        raise
    if not same:
        step.add(OBJECT_CORRUPT(name=name, expected=written.crc32c, actual="other bytes", place=name))
    step.note = "deleted from"
    bucket.delete(name, if_generation=written.generation)
    step.note = "listed"
    for info in bucket.list(f"{PROBE_FOLDER}/"):
        if info.updated < before - _LEFTOVER:
            with suppress(ObjectMissing, PreconditionFailed):  # another preflight swept it
                bucket.delete(info.name, if_generation=info.generation)
    step.note = ""
    step.extend(skew(before, written.updated, after, "the bucket"))
