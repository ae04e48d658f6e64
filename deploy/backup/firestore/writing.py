"""Documents into a database through the bulk writer's call, `BatchWrite`: created, never overwritten.

Not through the `BulkWriter` class: it takes Python values, and on the way there and back nanoseconds, the
kind of a number and a vector's type depend on the library. The messages go as they were exported.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .connection import Database
from .ramp import Ramp

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

_BATCH_WRITES = 500  # the API's limit
_BATCH_BYTES = 2 * 1024 * 1024  # a request may have 10 MiB; a few of them are in memory at once
_SIDE_BY_SIDE = 4
_ATTEMPTS = 8
_PAUSE_SECONDS = 0.25  # doubled with each failure
_LONGEST_PAUSE_SECONDS = 15.0
_OK, _ALREADY_EXISTS = 0, 6
# CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE
_PASSING = frozenset({1, 2, 4, 8, 10, 13, 14})


class DocumentRefused(ValueError):  # noqa: N818 – reads as the fact it is
    """Firestore does not take a document; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Written:
    """How many documents were created, and how many were there already."""

    created: int
    existing: int


def create_all(
    client: FirestoreClient,
    database: Database,
    documents: Iterable[Any],
    *,
    ramp: Ramp,
    guard: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Written:
    """Create every `Document` message that is not there yet. Killed at any moment, it can be run again.

    Args:
        guard: called before each batch.
        progress: told the documents so far.

    Raises:
        DocumentRefused: by Firestore, for a reason that does not pass.
        google.api_core.exceptions.GoogleAPICallError: the call itself failed, after retries.
    """
    created = existing = 0
    running: deque[Future[Written]] = deque()

    def settle() -> None:
        nonlocal created, existing
        written = running.popleft().result()
        created += written.created
        existing += written.existing
        progress(created + existing)

    with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="firestore-write") as pool:
        try:
            for batch in _batches(documents):
                guard()
                ramp.wait(len(batch))
                running.append(pool.submit(_create, client, database, batch))
                if len(running) >= _SIDE_BY_SIDE:
                    settle()
            while running:
                settle()
        finally:
            pool.shutdown(cancel_futures=True)
    return Written(created, existing)


def _batches(documents: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size_bytes = 0
    for document in documents:
        length = document.ByteSize()
        if batch and (len(batch) == _BATCH_WRITES or size_bytes + length > _BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(document)
        size_bytes += length
    if batch:
        yield batch


def _create(client: FirestoreClient, database: Database, batch: list[Any]) -> Written:
    created = existing = 0
    for attempt in range(1, _ATTEMPTS + 1):
        again = []
        for document, status in zip(batch, _statuses(client, database, batch), strict=True):
            if status.code == _OK:
                created += 1
            elif status.code == _ALREADY_EXISTS:
                existing += 1
            elif status.code in _PASSING and attempt < _ATTEMPTS:
                again.append(document)
            else:
                raise DocumentRefused(f"{document.name} is not taken: {status.message}")
        if not again:
            break
        batch = again
        time.sleep(min(_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS))
    return Written(created, existing)


def _statuses(client: FirestoreClient, database: Database, batch: list[Any]) -> Any:
    from google.cloud.firestore_v1.types import BatchWriteRequest

    request = BatchWriteRequest(database=database.path)
    raw = BatchWriteRequest.pb(request)
    for document in batch:
        write = raw.writes.add()
        write.update.CopyFrom(document)
        write.current_document.exists = False
    return client.batch_write(request).status
