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

import socket
import sys
import threading
from contextlib import suppress
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .gcs_faults import Fault, Faults, Request
from .gcs_http import Handler, linger_not
from .gcs_listing import MAX_RESULTS
from .gcs_objects import ObjectStore
from .gcs_uploads import ResumableUpload

if TYPE_CHECKING:
    from google.cloud import storage

__all__ = ["Fault", "GCSServer", "Request"]


class GCSServer:
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
        self.page_size = page_size
        self.store = ObjectStore()
        for bucket in buckets:
            self.store.create_bucket(bucket)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.uploads: dict[str, ResumableUpload] = {}
        self._http = _Listener(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._http.gcs = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

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

    def __enter__(self) -> GCSServer:
        self._http.server_bind()
        self._http.server_activate()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()


class _Listener(ThreadingHTTPServer):
    """Knows its open connections: clients keep them alive, and the server's end must not wait for them."""

    gcs: GCSServer
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a traceback on standard error; a mistake of ours is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # it was closed already
                linger_not(connection)
                connection.shutdown(socket.SHUT_RDWR)
