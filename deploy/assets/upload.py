"""Sends what is missing, proves by a listing that all of it is there, and records the manifest last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from deploy.buckets.base import BUCKET_UNREACHABLE, Bucket, BucketError, PreconditionFailed
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, Step

from .manifest import differences, read_release_manifest
from .plan import MANIFEST_DIFFERS, Asset, UploadPlan, differs

NOT_SENT = FindingType(
    "deploy.A012",
    "error",
    "{name} could not be uploaded: {reason}.",
    "Run the same command again: it sends only what is missing.",
)
NOT_THERE = FindingType(
    "deploy.A013",
    "error",
    "After the upload {name} is {state} in the bucket, so the release's manifest was not written.",
    "Run the same command again; if it stays, look for what deletes objects: lifecycle rules, other jobs.",
)
CHANGED_MEANWHILE = FindingType(
    "deploy.A014",
    "error",
    "{name} was changed in the bucket while this upload ran.",
    "Run the same command again.",
)

# So many failures are not bad luck with a file but the bucket or the network: the rest is not tried.
_MAX_FAILURES = 5
# A file above this is read whole into memory by at most two threads at once.
_LARGE_BYTES = 8 * 1024**2


def upload(
    plan: UploadPlan, bucket: Bucket, *, conf: DeployConf, guard: Callable[[], None], step: Step
) -> dict[str, Any]:
    """Execute the plan. Safe to kill at any moment and to run twice at once; nothing is ever deleted.

    `guard` is called before each write. Returns the step's facts: files, sent, sent_bytes, present,
    manifest (the object's name), manifest_sha256.

    Raises:
        Refusal: the plan's errors, or a file that could not be sent or is not there afterwards (the
            manifest is not written then); what `guard` raises.
    """
    if plan.skipped:
        step.skip(plan.skipped)
        return {}
    step.extend(finding for finding in plan.findings if finding not in step.findings)
    if not plan.ok:
        raise Refusal(*(f for f in plan.findings if f.level == "error"), exit_code=EXIT_REFUSED)
    run = _Run(bucket, guard, step, plan)
    run.send(plan.to_send, threads=conf.upload_threads)
    if plan.to_send:
        _verify(plan, bucket)
    _record(plan, bucket, guard)
    manifest = plan.manifest()
    return {
        "files": len(plan.assets),
        "sent": run.sent,
        "sent_bytes": run.sent_bytes,
        "present": len(plan.assets) - run.sent,
        "manifest": manifest.object_name,
        "manifest_sha256": manifest.sha256,
    }


@dataclass
class _Run:
    """The sending half of an upload, and how far it is."""

    bucket: Bucket
    guard: Callable[[], None]
    step: Step
    plan: UploadPlan
    sent: int = 0
    sent_bytes: int = 0
    failures: list[Finding] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _large: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))

    def send(self, assets: Sequence[Asset], *, threads: int) -> None:
        """All of `assets`; progress is told from this thread only."""
        if not assets:
            return
        total, done = self.plan.send_bytes, 0
        with ThreadPoolExecutor(min(threads, len(assets)), thread_name_prefix="upload") as pool:
            pending = {pool.submit(self._send_one, asset): asset for asset in assets}
            try:
                while pending:
                    finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                    done += self._settle(finished, pending)
                    self.step.progress(done, total, unit="bytes")
            finally:
                self._stop.set()  # an exception (guard, Ctrl-C) leaves the rest unsent
                pool.shutdown(wait=True, cancel_futures=True)
        if self.failures:
            raise Refusal(*self.failures, exit_code=EXIT_REFUSED)

    def _settle(self, finished: Iterable[Future[bool]], pending: dict[Future[bool], Asset]) -> int:
        """Count what is finished; bytes of it."""
        done = 0
        for future in finished:
            asset = pending.pop(future)
            done += asset.size_bytes
            if future.result():  # raises what the guard raised
                self.sent += 1
                self.sent_bytes += asset.size_bytes
        return done

    def _send_one(self, asset: Asset) -> bool:
        """True if it was sent; False if the same bytes were there by now, it failed, or the run stops."""
        if self._stop.is_set():
            return False
        with self._large if asset.size_bytes > _LARGE_BYTES else nullcontext():
            try:
                return self._put(asset)
            except (BucketError, OSError) as error:
                self._fail(NOT_SENT(name=asset.name, reason=error, place=asset.name))
        return False

    def _fail(self, *findings: Finding) -> None:
        with self._counting:
            self.failures.extend(findings)
            if len(self.failures) >= _MAX_FAILURES:
                self._stop.set()

    def _put(self, asset: Asset) -> bool:
        data = asset.source.read_bytes()
        self.guard()
        try:
            self.bucket.put(
                asset.name,
                data,
                if_generation=asset.generation,
                content_type=asset.content_type,
                cache_control=asset.cache_control,
            )
        except PreconditionFailed:
            now = self.bucket.stat(asset.name)
            if now is not None and now.crc32c == asset.crc32c and now.size_bytes == asset.size_bytes:
                return False
            finding = (
                differs(asset, now, self.bucket)
                if asset.immutable and now is not None
                else CHANGED_MEANWHILE(name=asset.name, place=asset.name)
            )
            self._fail(finding)
            return False
        return True


def _verify(plan: UploadPlan, bucket: Bucket) -> None:
    """One listing proves that every file of the release is there, byte for byte."""
    try:
        stored = {info.name: (info.size_bytes, info.crc32c) for info in bucket.list()}
    except BucketError as error:
        raise Refusal(BUCKET_UNREACHABLE(url=bucket.url, action="listed", reason=error)) from error
    wrong = [
        NOT_THERE(name=asset.name, state="different" if asset.name in stored else "missing", place=asset.name)
        for asset in plan.assets
        if stored.get(asset.name) != (asset.size_bytes, asset.crc32c)
    ]
    if wrong:
        raise Refusal(*wrong, exit_code=EXIT_REFUSED)


def _record(plan: UploadPlan, bucket: Bucket, guard: Callable[[], None]) -> None:
    """Write the manifest, if absent; one that is there must be the same, byte for byte."""
    if plan.manifest_recorded:
        return  # the plan compared it
    manifest = plan.manifest()
    guard()
    try:
        bucket.put(
            manifest.object_name,
            manifest.as_bytes(),
            if_generation=0,
            content_type="application/json",
            cache_control="no-cache",
        )
    except PreconditionFailed:
        recorded = read_release_manifest(bucket, plan.release)
        if recorded is None or recorded.as_bytes() != manifest.as_bytes():
            changed = differences(recorded, manifest) if recorded else [manifest.object_name]
            raise Refusal(
                MANIFEST_DIFFERS(release=plan.release, count=len(changed), first=changed[0]),
                exit_code=EXIT_REFUSED,
            ) from None
    except BucketError as error:
        raise Refusal(NOT_SENT(name=manifest.object_name, reason=error)) from error
