"""How a database stands to an export: which documents are missing, equal or different there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from .connection import Database
from .values import Digest, canonical, fields_to_json

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

_AT_ONCE = 300


@dataclass(frozen=True, slots=True)
class Compared:
    """Numbers of documents of the export; `first` is the name of one that is missing or differs, or empty.

    Attributes:
        expected, found: digests over the export's documents, and over what is there under their names.
    """

    equal: int
    missing: int
    different: int
    first: str
    expected: str
    found: str

    @property
    def whole(self) -> bool:
        """Every document is there and equal."""
        return not self.missing and not self.different and self.expected == self.found


def compare(
    client: FirestoreClient,
    database: Database,
    exported: Iterable[tuple[str, dict[str, Any]]],
    *,
    moment: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Compared:
    """Read every document of `exported` (name and typed JSON, see `lines`) by its name, and compare.

    Args:
        moment: as it was then (UTC); None: as it is.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: what Firestore refuses.
    """
    equal = missing = different = 0
    first = ""
    expected, found = Digest(), Digest()
    for batch in _batched(exported):
        there = _contents(client, database, [name for name, _ in batch], moment)
        for name, fields in batch:
            wanted, content = canonical(name, fields), there.get(name)
            expected.add(wanted)
            if content is not None:
                found.add(content)
            if content == wanted:
                equal += 1
                continue
            first = first or name
            if content is None:
                missing += 1
            else:
                different += 1
        progress(expected.documents)
    return Compared(equal, missing, different, first, expected.hexdigest(), found.hexdigest())


def _batched(exported: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    remaining = iter(exported)
    while batch := list(islice(remaining, _AT_ONCE)):
        yield batch


def _contents(
    client: FirestoreClient, database: Database, names: list[str], moment: datetime | None
) -> dict[str, bytes]:
    from google.api_core.retry import Retry
    from google.cloud.firestore_v1.types import BatchGetDocumentsResponse

    # The library itself only tries again until the first answer is there.
    request: dict[str, Any] = {"database": database.path, "documents": names}
    if moment is not None:
        request["read_time"] = moment
    answers = Retry(timeout=120)(lambda: list(client.batch_get_documents(request)))()
    found = (BatchGetDocumentsResponse.pb(answer) for answer in answers)
    return {
        answer.found.name: canonical(answer.found.name, fields_to_json(answer.found.fields))
        for answer in found
        if answer.HasField("found")
    }
