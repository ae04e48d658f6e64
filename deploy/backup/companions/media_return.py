"""Is every file of an inventory still there, and how those come back that are not.

The inventory, the listing of generations and that of soft-deleted ones go by side by side, so memory does not
grow with them; a plan for a bucket is its counts and first names, and it is made again as it is carried out.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.backup.catalog import open_archive
from deploy.backup.manifest import Manifest
from deploy.buckets import Bucket
from deploy.buckets.base import BucketError, ObjectMissing, PreconditionFailed, finding_of
from deploy.buckets.versions import Version, Versions, open_versions
from deploy.reporting.findings import Finding, FindingType
from deploy.reporting.report import Step

from .kept import companion_of
from .media import KIND
from .media_inventory import read_lines

FILES_GONE = FindingType(
    "deploy.B072",
    "error",
    "{count} of the {total} files that belong to backup {id} are gone from {url}, and no generation of them "
    "is left: {names}.",
    "Look for them elsewhere; the rows that name them are in the backup all the same.",
    why="Versioning or soft delete of the bucket keeps a generation only for so long.",
)
FILES_RECOVERABLE = FindingType(
    "deploy.B074",
    "warning",
    "{count} of the {total} files that belong to backup {id} are not live in {url} as they were, and can be "
    "brought back: {names}.",
    "python manage.py backups media {id} --bring-back --dry-run",
)

_MOST_NAMES = 5

# changed: live with other content; missing: not live. "For good": no generation is left to bring back.
Status = Literal["there", "missing", "changed", "missing for good", "changed for good"]
STATUSES: tuple[Status, ...] = ("there", "missing", "changed", "missing for good", "changed for good")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file of the inventory: what has become of it.

    Attributes:
        source: the generation to bring back; None where nothing has to be, or can.
        live_generation: what is live instead; 0: nothing is.
    """

    file: Version
    status: Status
    source: Version | None = None
    live_generation: int = 0


@dataclass
class Survey:
    """How many files of each status, and the first names of those that are not there."""

    url: str
    counts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    names: dict[Status, list[str]] = field(default_factory=lambda: {status: [] for status in STATUSES})
    bytes_to_bring: int = 0

    def add(self, verdict: Verdict) -> None:
        self.counts[verdict.status] += 1
        if verdict.source is not None:
            self.bytes_to_bring += verdict.file.size_bytes
        if verdict.status != "there" and len(self.names[verdict.status]) < _MOST_NAMES:
            self.names[verdict.status].append(verdict.file.name)

    def facts(self) -> dict[str, Any]:
        """JSON-like, for the report."""
        return {
            "url": self.url,
            "files": sum(self.counts.values()),
            "there": self.counts["there"],
            "missing": self.counts["missing"],
            "changed": self.counts["changed"],
            "gone": self.counts["missing for good"] + self.counts["changed for good"],
            "recoverable_bytes": self.bytes_to_bring,
            "names": {status: names for status, names in self.names.items() if names},
        }

    def findings(self, backup_id: str) -> Iterator[Finding]:
        """Those that are gone (error), those that can be brought back (warning)."""
        both: tuple[tuple[FindingType, tuple[Status, ...]], ...] = (
            (FILES_RECOVERABLE, ("missing", "changed")),
            (FILES_GONE, ("missing for good", "changed for good")),
        )
        for kind, statuses in both:
            count = sum(self.counts[status] for status in statuses)
            names = [name for status in statuses for name in self.names[status]]
            if count:
                yield kind(
                    count=count,
                    total=sum(self.counts.values()),
                    id=backup_id,
                    url=self.url,
                    names=", ".join(names[:_MOST_NAMES]) + (", …" if count > _MOST_NAMES else ""),
                    place=self.url,
                )


def survey(bucket: Bucket, manifest: Manifest, *, step: Step) -> Survey:
    """Look for every file of the backup's inventory, and change nothing.

    Raises:
        Refusal: deploy.B073 without an inventory, deploy.B004 (exit code 1) for a damaged one.
        BucketError: the media bucket cannot be listed.
    """
    found = Survey(companion_of(manifest, KIND)[0].facts["url"])
    for number, verdict in enumerate(_verdicts(bucket, manifest, open_versions(found.url), step), 1):
        found.add(verdict)
        if number % 1000 == 0:
            step.progress(number, unit="files")
    return found


def bring_back(
    bucket: Bucket, manifest: Manifest, *, changed_too: bool, threads: int, step: Step
) -> dict[str, Any]:
    """Make the generations of the inventory live again; idempotent, and each only over what was seen.

    Killed or run twice at once, what has come back is there and the next run goes on: a file is written only
    if its live generation is still the one that was looked at.

    Args:
        changed_too: also where another content is live, which the bucket then keeps as an older generation.
        threads: how many at once.

    Returns:
        Facts: `brought_back`, `brought_back_bytes`, `left` (changed meanwhile, or gone), `failed`.

    Raises:
        Refusal, BucketError: as `survey`.
    """
    store = open_versions(companion_of(manifest, KIND)[0].facts["url"])
    facts = {"brought_back": 0, "brought_back_bytes": 0, "left": 0, "failed": 0}
    under_way: deque[tuple[Version, Future[None]]] = deque()

    def settle() -> None:
        file, future = under_way.popleft()
        try:
            future.result()
        except (PreconditionFailed, ObjectMissing):
            facts["left"] += 1  # somebody was faster; the next survey says how it is
        except BucketError as error:
            facts["failed"] += 1
            if facts["failed"] <= _MOST_NAMES:
                step.add(finding_of(error, store.url, "written"))
        else:
            facts["brought_back"] += 1
            facts["brought_back_bytes"] += file.size_bytes
            step.progress(facts["brought_back"], unit="files")

    with ThreadPoolExecutor(threads, thread_name_prefix="media") as pool:
        for verdict in _verdicts(bucket, manifest, store, step):
            if verdict.source is None or (verdict.status == "changed" and not changed_too):
                continue
            future = pool.submit(store.bring_back, verdict.source, if_generation=verdict.live_generation)
            under_way.append((verdict.file, future))
            if len(under_way) > 2 * threads:
                settle()
        while under_way:
            settle()
    return facts


def _verdicts(bucket: Bucket, manifest: Manifest, store: Versions, step: Step) -> Iterator[Verdict]:
    _, part = companion_of(manifest, KIND)
    quiet = Step(step.name)  # the bytes of the inventory are no measure of the work
    with open_archive(bucket, manifest, part, quiet) as raw:
        yield from judge(read_lines(raw), store)


def judge(files: Iterable[Version], store: Versions) -> Iterator[Verdict]:
    """What has become of each of `files` (sorted by name) in `store`."""
    generations = heapq.merge(store.every(), _soft_deleted(store), key=_place)
    groups = itertools.groupby(generations, key=lambda version: version.key)
    key, group = next(groups, (None, iter(())))
    for file in files:
        while key is not None and key < file.key:
            key, group = next(groups, (None, iter(())))
        yield _judged(file, list(group) if key == file.key else [])


def _soft_deleted(store: Versions) -> Iterator[Version]:
    """None where the service refuses to list them at all: a bucket need not have that policy."""
    found = store.soft_deleted()
    try:
        first = next(found, None)
    except BucketError:
        return
    if first is not None:
        yield first
        yield from found


def _judged(file: Version, generations: list[Version]) -> Verdict:
    live = next((version for version in generations if version.state == "live"), None)
    if live is not None and (live.generation == file.generation or _same(live, file)):
        return Verdict(file, "there")
    # The very generation, or another one of the same content (of a file that was brought back before).
    source = next(
        (version for version in generations if version.generation == file.generation),
        next((version for version in generations if _same(version, file)), None),
    )
    if live is None:
        return Verdict(file, "missing" if source else "missing for good", source)
    return Verdict(file, "changed" if source else "changed for good", source, live.generation)


def _same(one: Version, other: Version) -> bool:
    return (one.crc32c, one.size_bytes) == (other.crc32c, other.size_bytes)


def _place(version: Version) -> tuple[bytes, int]:
    return version.key, version.generation
