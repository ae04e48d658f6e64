"""Every document of a database as of one moment, in one stream that goes on where it broke."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .connection import Database

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

_ATTEMPTS = 6  # without a single document between them
_PAUSE_SECONDS = 0.5  # doubled with each failure
_LONGEST_PAUSE_SECONDS = 15.0
_STREAM_SECONDS = 300.0


def server_time(client: FirestoreClient, database: Database) -> datetime:
    """Firestore's own clock, UTC: the moment at which it looked for a document that is not there."""
    name = f"{database.documents}/deploy-backup/clock"
    answer = next(iter(client.batch_get_documents({"database": database.path, "documents": [name]})))
    return _plain(answer.read_time)


def documents(client: FirestoreClient, database: Database, moment: datetime | None = None) -> Iterator[Any]:
    """All `Document` messages at `moment` (UTC, microseconds; None: each as of when it is read), by name.

    One query over all collections at every depth, so a document's subcollections are found whether or not
    it exists itself. A stream that breaks off is taken up after the last document that it gave.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: what Firestore refuses, and what does not pass.
    """
    yield from _stream(client, database, moment)


def count(client: FirestoreClient, database: Database, moment: datetime) -> int:
    """How many documents there were at `moment`; only their names are read. Raises as `documents`."""
    return sum(1 for _ in _stream(client, database, moment, select={"fields": [{"field_path": "__name__"}]}))


def is_empty(client: FirestoreClient, database: Database) -> bool:
    """There is no document. Raises as `documents`."""
    return next(_stream(client, database, None, limit=1), None) is None


def _stream(
    client: FirestoreClient, database: Database, moment: datetime | None, **narrowed: Any
) -> Iterator[Any]:
    from google.api_core import exceptions
    from google.cloud.firestore_v1.types import RunQueryResponse

    passing = (
        exceptions.ServiceUnavailable,
        exceptions.InternalServerError,
        exceptions.DeadlineExceeded,
        exceptions.ResourceExhausted,
        exceptions.Cancelled,
        exceptions.Unknown,  # gRPC's "Stream removed"
    )
    last, failures = "", 0
    while True:
        try:
            # Without the library's own retries: they begin anew each time, these count.
            answers = client.run_query(
                _query(database, moment, last, narrowed), retry=None, timeout=_STREAM_SECONDS
            )
            for answer in answers:
                raw = RunQueryResponse.pb(answer)
                if raw.HasField("document"):
                    last, failures = raw.document.name, 0
                    yield raw.document
        except passing:
            failures += 1
            if failures >= _ATTEMPTS:
                raise
            time.sleep(min(_PAUSE_SECONDS * 2**failures, _LONGEST_PAUSE_SECONDS))
        else:
            return


def _query(database: Database, moment: datetime | None, last: str, narrowed: dict[str, Any]) -> Any:
    query: dict[str, Any] = {
        # No collection's name: all of them (this is how Google's clients delete recursively, too).
        "from_": [{"all_descendants": True}],
        "order_by": [{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}],
        **narrowed,
    }
    if last:
        query["start_at"] = {"values": [{"reference_value": last}], "before": False}
    request: dict[str, Any] = {"parent": database.documents, "structured_query": query}
    if moment is not None:
        request["read_time"] = moment
    return request


def _plain(moment: Any) -> datetime:
    """Without the library's own class, to the microsecond: Firestore's precision."""
    return datetime(
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond,
        UTC,
    )
