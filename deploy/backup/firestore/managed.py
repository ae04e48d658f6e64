"""Google's own export into a bucket of Google's, through the Firestore Admin API (REST).

It is as of one whole minute, and is whole only when its operation is done. Nothing of it passes through here.
https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases/exportDocuments
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from deploy.reporting.findings import Refusal

from .connection import EXPORTER, Database, refusing
from .export import of_its_moment, whole_minute
from .findings import CLIENT_MISSING

if TYPE_CHECKING:
    from google.cloud.firestore_admin_v1 import FirestoreAdminClient

_CALL_SECONDS = 60.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Operation:
    """A managed export as it stood when it was looked at.

    Attributes:
        name: the API's, of the operation.
        reason: why it failed, or empty.
        documents, total: done so far, and what Firestore estimates; 0 when it does not say.
        done_bytes: likewise.
    """

    name: str
    state: Literal["running", "done", "failed"]
    reason: str
    documents: int
    total: int
    done_bytes: int


@contextmanager
def administered(database: Database, endpoint: str) -> Iterator[FirestoreAdminClient]:
    """A client of the Admin API, with the application default credentials unless `endpoint` is `http://…`.

    Raises:
        Refusal: deploy.B075 without the library, B076 without credentials.
    """
    try:
        from google.cloud.firestore_admin_v1 import FirestoreAdminClient
        from google.cloud.firestore_admin_v1.services.firestore_admin.transports import (
            FirestoreAdminRestTransport,
        )
    except ImportError as error:
        raise Refusal(CLIENT_MISSING(database=database, module=error.name)) from error
    given: dict[str, Any] = {}
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        given = {"host": host, "url_scheme": scheme}
    if endpoint.startswith("http://"):
        from google.auth.credentials import AnonymousCredentials

        given["credentials"] = AnonymousCredentials()
    with refusing(database, "opened", EXPORTER):
        client = FirestoreAdminClient(transport=FirestoreAdminRestTransport(**given))
    with client:
        yield client


def start_export(
    client: FirestoreAdminClient, database: Database, uri: str, *, created: datetime, now: datetime
) -> tuple[str, datetime]:
    """Start it as of the snapshot's whole minute, or of the last one where Firestore no longer shows that.

    Returns:
        The operation's name, and the moment (UTC) that the export shows.

    Raises:
        Refusal: deploy.B076, B077, B079.
    """
    from google.api_core import exceptions

    # The one before too: a clock that runs ahead of Google's must not ask for the future.
    asked = dict.fromkeys(
        (whole_minute(created), whole_minute(now), whole_minute(now) - timedelta(minutes=1))
    )
    *earlier, last = asked
    with refusing(database, "exported", EXPORTER):
        for moment in earlier:
            try:
                return _start(client, database, uri, moment), moment
            except (exceptions.FailedPrecondition, exceptions.BadRequest) as error:
                if not of_its_moment(error):
                    raise
        return _start(client, database, uri, last), last


def _start(client: FirestoreAdminClient, database: Database, uri: str, moment: datetime) -> str:
    request = {"name": database.path, "output_uri_prefix": uri, "snapshot_time": moment}
    return str(client.export_documents(request, timeout=_CALL_SECONDS).operation.name)


def look(client: FirestoreAdminClient, database: Database, name: str) -> Operation:
    """How the export `name` stands.

    Raises:
        Refusal: deploy.B076, B077, B079.
    """
    from google.api_core.retry import Retry
    from google.cloud.firestore_admin_v1.types import ExportDocumentsMetadata

    with refusing(database, "asked about its export", EXPORTER):
        found = client.get_operation({"name": name}, retry=Retry(timeout=120), timeout=_CALL_SECONDS)
    metadata = ExportDocumentsMetadata()
    found.metadata.Unpack(ExportDocumentsMetadata.pb(metadata))
    failed = found.done and found.HasField("error")
    return Operation(
        name=name,
        state="failed" if failed else "done" if found.done else "running",
        reason=found.error.message.strip().rstrip(".") if failed else "",
        documents=metadata.progress_documents.completed_work,
        total=metadata.progress_documents.estimated_work,
        done_bytes=metadata.progress_bytes.completed_work,
    )


def wait(
    client: FirestoreAdminClient,
    database: Database,
    name: str,
    *,
    seconds: float,
    stopped: threading.Event,
    progress: Callable[[Operation], None] = lambda _: None,
) -> Operation:
    """Look again and again until it is done or `seconds` are over, or `stopped` is set. Raises as `look`."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        operation = look(client, database, name)
        progress(operation)
        left = deadline - time.monotonic()
        if operation.state != "running" or left <= 0 or stopped.wait(min(pause, left)):
            return operation
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
