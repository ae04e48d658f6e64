"""A small Google Cloud Storage for tests: the real google-cloud-storage client talks to it over HTTP.

    with GCSServer("my-bucket") as server:
        bucket = server.client().bucket("my-bucket")
        bucket.blob("lock").upload_from_string("me", if_generation_match=0)

or, for a process of its own, set the variables of `server.environment` and let it make its client as in
production: the client takes anonymous credentials when `STORAGE_EMULATOR_HOST` is set.

It keeps what locks, ledgers and backups stand on: generations and metagenerations, every precondition on
reads, writes and deletes, CRC32C and MD5 (checked when the client sends them), Cache-Control,
Content-Encoding and custom metadata, resumable uploads, paged listings. Each behaviour names the page of
Google's documentation that it follows. It also fails on demand:

    server.faults.add(Fault(lose_response=True), when=lambda request: request.is_upload)

`server.store.create_bucket(name, versioning=True, soft_delete=True)` makes one that keeps old generations.

Not there: access control, signed URLs, the XML and gRPC interfaces, compose.
Everything is in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .gcs_api import Answer, answer
from .gcs_faults import Fault, Request
from .gcs_listing import MAX_RESULTS
from .gcs_objects import ObjectStore
from .gcs_uploads import ResumableUpload
from .service import Service

if TYPE_CHECKING:
    from google.cloud import storage

__all__ = ["Fault", "GCSServer", "Request"]


class GCSServer(Service):
    """The server, on a free port of 127.0.0.1 for the length of the `with` block.

    Args:
        *buckets: names of buckets that exist from the start.
        page_size: most results that a page of a listing has, at most Google's 1000.

    Attributes:
        store: the objects, to look at and to damage.
        faults: what will go wrong.
        requests: every request that arrived, oldest first.
    """

    def __init__(self, *buckets: str, page_size: int = MAX_RESULTS) -> None:
        super().__init__()
        self.page_size = page_size
        self.store = ObjectStore()
        for bucket in buckets:
            self.store.create_bucket(bucket)
        self.uploads: dict[str, ResumableUpload] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment for its client to come here."""
        return {"STORAGE_EMULATOR_HOST": self.url}

    def client(self) -> storage.Client:
        """A real client of this server."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        return storage.Client(
            project=None, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )

    def answer(self, request: Request) -> Answer:
        """As Google's JSON API answers."""
        return answer(self, request)
