"""All archives of a backup, stored side by side: every one of them, or none that anybody sees as a backup."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from deploy.buckets import Bucket
from deploy.reporting.report import Step

from .engines import Source, SourceFacts
from .manifest import Part
from .naming import Identity
from .store import store_archive


def store_parts(
    bucket: Bucket,
    identity: Identity,
    backup_id: str,
    archive: str,
    source: Source,
    *,
    level: int,
    guard: Callable[[], None],
    step: Step,
    recipients: tuple[str, ...] = (),
) -> tuple[tuple[Part, ...], SourceFacts]:
    """Stream the source into the bucket: what is stored, and what the source said of itself.

    No archive becomes visible before all dump programs have ended well and the source is described: each
    waits at its end for the others. Without a manifest none of them is a backup.

    Args:
        archive: the file of the first stream; the others are numbered from 2.
        guard: called before each visible write, never by two threads at once.
        recipients: see `store_archive`.

    Raises:
        What the first that failed raises, as `store_archive` and `Source.finish` do.
    """
    all_there = threading.Barrier(len(source.streams))
    one_at_a_time = threading.Lock()
    failures: list[BaseException] = []
    facts: list[SourceFacts] = []
    progress = _Progress(step, source)

    def guarded() -> None:
        with one_at_a_time:
            guard()

    def store(number: int) -> Part:
        stream = source.streams[number]

        def finish() -> None:
            stream.end()
            if number == 0:
                facts.append(source.finish())
            all_there.wait()

        try:
            part, _ = store_archive(
                bucket,
                identity,
                backup_id,
                archive if number == 0 else _numbered(archive, number + 1),
                stream.raw,
                level=level,
                guard=guarded,
                finish=finish,
                progress=lambda raw_bytes: progress.reached(number, raw_bytes),
                tables=stream.tables,
                streams=len(source.streams),
                recipients=recipients,
            )
        except BaseException as error:
            failures.append(error)
            all_there.abort()
            source.stop()
            raise
        return part

    # The first is stored by this thread, which alone is told of signals.
    with ThreadPoolExecutor(max(1, len(source.streams) - 1), thread_name_prefix="backup-part") as pool:
        others = [pool.submit(store, number) for number in range(1, len(source.streams))]
        try:
            parts = (store(0), *(other.result() for other in others))
        except BaseException as error:
            all_there.abort()  # a signal may have come while this thread only waited
            source.stop()
            # The others fail because of the first that did; that one is the cause.
            if isinstance(error, Exception) and failures and failures[0] is not error:
                raise failures[0] from None
            raise
    return parts, facts[0]


def _numbered(archive: str, number: int) -> str:
    """`archive-2.dump.zst` of `archive.dump.zst`."""
    stem, _, rest = archive.partition(".")
    return f"{stem}-{number}.{rest}"


class _Progress:
    """The sum of what the streams have given, told to the step; safe for several threads."""

    def __init__(self, step: Step, source: Source) -> None:
        self._step = step
        self._source = source
        self._raw_bytes = [0] * len(source.streams)
        self._lock = threading.Lock()

    def reached(self, stream: int, raw_bytes: int) -> None:
        with self._lock:
            self._raw_bytes[stream] = raw_bytes
            done = sum(self._raw_bytes)
            expected = self._source.expected_bytes
            self._step.progress(done, max(done, expected) if expected else None, unit="bytes")
