"""The portable export: a first line that says what it is, then one line for each document.

{"format": "firestore-jsonl", "version": 1, "database": "projects/P/databases/D", "readTime": "…Z"}
{"fields": {…}, "name": "projects/P/databases/D/documents/…", "createTime": "…Z", "updateTime": "…Z"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from deploy.backup.manifest import Part
from deploy.reporting.findings import Refusal

from .connection import VIEWER, Database, failed, reason_of, refusing
from .findings import VERSIONS_GONE
from .reading import documents, server_time
from .values import Digest, UnknownValue, document_line

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

FORMAT, VERSION = "firestore-jsonl", 1
FILE = "firestore.jsonl.zst"

_PIECE_BYTES = 256 * 1024
# Firestore shows any microsecond of the last hour; a little before that it may end under our hands.
_SHOWN = timedelta(minutes=55)

Store = Callable[[Iterator[bytes]], Part]


@dataclass(frozen=True, slots=True)
class Exported:
    """A stored export.

    Attributes:
        moment: UTC, what it shows is of then.
        digest: see `Digest`.
    """

    part: Part
    moment: datetime
    documents: int
    digest: str


def moments(created: datetime, now: datetime) -> Iterator[datetime | None]:
    """Which moments to ask for, the best first; None is Firestore's own now.

    That of the snapshot as long as Firestore shows any microsecond, then its whole minute, which is shown for
    7 days with point-in-time recovery.
    """
    if now - created < _SHOWN:
        yield created
    yield whole_minute(created)
    yield None


def whole_minute(moment: datetime) -> datetime:
    """The last whole minute at or before `moment`."""
    return moment.replace(second=0, microsecond=0)


def export(
    client: FirestoreClient,
    database: Database,
    *,
    created: datetime,
    store: Store,
    progress: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Stream every document as of one moment, as near to `created` as Firestore shows, into `store`.

    Where the moment is no longer shown, at the beginning or in the middle, it begins anew with the next of
    `moments`; nothing is stored of the attempt before.

    Args:
        store: stores the pieces whole or, when they raise, not at all.
        progress: told the documents so far.

    Raises:
        Refusal: deploy.B076 to B079.
    """
    from google.api_core import exceptions

    refusal: Refusal | None = None
    for asked in moments(created, datetime.now(UTC)):
        with refusing(database, "read", VIEWER):
            moment = asked or server_time(client, database)
            digest = Digest()
            try:
                part = store(_pieces(client, database, moment, digest, progress))
            except (exceptions.FailedPrecondition, exceptions.InvalidArgument) as error:
                if not of_its_moment(error):
                    raise
                refusal = Refusal(
                    VERSIONS_GONE(
                        database=database,
                        project=database.project,
                        name=database.name,
                        moment=moment.isoformat(),
                        reason=reason_of(error),
                    )
                )
                refusal.__cause__ = error
                continue
            except UnknownValue as error:
                raise Refusal(failed(database, "exported whole", error)) from error
        return Exported(part, moment, digest.documents, digest.hexdigest())
    assert refusal is not None  # noqa: S101 – the last of the moments is always tried
    raise refusal


def of_its_moment(error: Exception) -> bool:
    """It is the time that was refused: too old, not a whole minute, or ahead of Google's clock."""
    text = str(error).lower()
    return any(words in text for words in ("read_time", "read time", "snapshot"))


def _pieces(
    client: FirestoreClient,
    database: Database,
    moment: datetime,
    digest: Digest,
    progress: Callable[[int], None],
) -> Iterator[bytes]:
    yield header(database, moment)
    piece = bytearray()
    for document in documents(client, database, moment):
        line, content = document_line(document)
        digest.add(content)
        piece += line
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
            progress(digest.documents)
    progress(digest.documents)
    if piece:
        yield bytes(piece)


def header(database: Database, moment: datetime) -> bytes:
    """The first line."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "database": database.path,
        "readTime": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(head).encode() + b"\n"
