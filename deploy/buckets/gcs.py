"""Google Cloud Storage as a bucket, through google-cloud-storage.

Where a request's answer gets lost, the library sends it again, and a conditional write that had succeeded is
then refused because of itself. So each write carries a token of its own in the object's metadata, and a
refusal by an object with our token is the success it was.
"""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, BinaryIO, cast

import requests
from google.api_core.retry import Retry
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from .base import ObjectCorrupt, ObjectInfo, ObjectMissing, ObjectReader, PreconditionFailed
from .gcs_errors import may_pass, translated
from .gcs_resource import FIELDS, TOKEN, info_of
from .gcs_upload import CHUNK_BYTES, ResumableUpload
from .names import validate_name, validate_prefix
from .streams import CheckedReader, ChecksumWriter, crc32c

# The largest UPLOAD_THREADS; requests' default of 10 throws the other connections away after each request.
_CONNECTIONS = 128
_TIMEOUT_SECONDS = (5.0, 30.0)


class GCSBucket:
    """The objects of bucket `name` below `prefix`. Credentials are Google's application default ones.

    Args:
        retry_seconds: how long a call goes on trying while the network or the service fails.
        client: instead of one of its own, made with the first call.
    """

    def __init__(
        self, name: str, prefix: str = "", *, retry_seconds: float = 60, client: storage.Client | None = None
    ) -> None:
        prefix = prefix.strip("/")
        self.url = f"gs://{name}/{prefix}".rstrip("/")
        self._name = name
        self._prefix = f"{validate_prefix(prefix)}/" if prefix else ""
        self._retry_seconds = retry_seconds
        self._retry = DEFAULT_RETRY.with_delay(initial=0.2, maximum=8, multiplier=2).with_timeout(
            retry_seconds
        )
        self._client = client
        self._connecting = threading.Lock()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._connecting:
            if self._client is not None:
                self._client.close()

    def stat(self, name: str) -> ObjectInfo | None:
        blob = self._blob(name)
        try:
            with translated("read", self._place(name)):
                blob.reload(timeout=_TIMEOUT_SECONDS, retry=self._retry)
        except ObjectMissing:
            return None
        return self._info(blob)

    def read(self, name: str) -> bytes:
        blob = self._blob(name)
        with translated("read", self._place(name)):
            data: bytes = self._download(blob)
        # Not left to the library: it checks nothing when a download broke off and was resumed.
        if (actual := crc32c(data)) != blob.crc32c:
            raise ObjectCorrupt(name, expected=str(blob.crc32c), actual=actual)
        return data

    @contextmanager
    def open_read(self, name: str) -> Iterator[ObjectReader]:
        info = self.stat(name)
        if info is None:
            raise ObjectMissing(f"{self._place(name)} does not exist")
        ahead = io.BytesIO()
        position = 0

        def fetch(size_bytes: int) -> bytes:
            nonlocal ahead, position
            if not (data := ahead.read(size_bytes)):
                end = min(position + CHUNK_BYTES, info.size_bytes) - 1
                with translated("read", self._place(name)):
                    ahead = io.BytesIO(self._download(blob, start=position, end=end))
                data = ahead.read(size_bytes)
            position += len(data)
            return data

        blob = self._blob(name, generation=info.generation)
        with CheckedReader(info, fetch) as reader:
            yield cast(ObjectReader, reader)

    def put(
        self,
        name: str,
        data: bytes,
        *,
        if_generation: int | None = None,
        content_type: str = "application/octet-stream",
        cache_control: str = "",
        content_encoding: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        blob, token = self._new_blob(name, metadata)
        blob.cache_control = cache_control or None
        blob.content_encoding = content_encoding or None
        try:
            if len(data) > CHUNK_BYTES:
                with self._uploading(blob, name, if_generation, content_type) as upload:
                    writer = ChecksumWriter(upload.write)
                    writer.write(data)
                    return info_of(name, upload.finish(writer.checksum))
            with translated("write", self._place(name)):
                blob.upload_from_string(
                    data,
                    content_type=content_type,
                    if_generation_match=if_generation,
                    checksum="crc32c",
                    timeout=_TIMEOUT_SECONDS,
                    retry=self._retry,
                )
        except PreconditionFailed:
            return self._own_write(name, token)
        return self._info(blob)

    @contextmanager
    def open_write(
        self,
        name: str,
        *,
        if_generation: int | None = 0,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[BinaryIO]:
        blob, token = self._new_blob(name, metadata)
        with self._uploading(blob, name, if_generation, content_type) as upload:
            with ChecksumWriter(upload.write) as writer:
                yield cast(BinaryIO, writer)
            try:
                resource = upload.finish(writer.checksum)
            except PreconditionFailed:
                self._own_write(name, token)
                return
        info = info_of(name, resource)
        if info.crc32c != writer.checksum.encoded():
            self.delete(name, if_generation=info.generation)
            raise ObjectCorrupt(name, expected=writer.checksum.encoded(), actual=info.crc32c)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        full = self._prefix + validate_prefix(prefix)
        with translated("list", self.url):
            yield from map(
                self._info,
                self._connected().list_blobs(
                    self._name,
                    prefix=full or None,
                    fields=f"items({FIELDS}),nextPageToken",
                    timeout=_TIMEOUT_SECONDS,
                    retry=self._retry,
                ),
            )

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        failures: list[BaseException] = []
        retry = Retry(
            predicate=may_pass,
            initial=0.2,
            maximum=8,
            multiplier=2,
            timeout=self._retry_seconds,
            on_error=failures.append,
        )
        try:
            with translated("delete", self._place(name)):
                self._blob(name).delete(
                    if_generation_match=if_generation, timeout=_TIMEOUT_SECONDS, retry=retry
                )
        except ObjectMissing:
            if not failures:  # otherwise an earlier try of ours may have deleted it: it is gone as asked
                raise

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                with translated("open", self.url):
                    # No project: it is needed only to make buckets, and looking for one asks the network.
                    self._client = storage.Client(project=None)
                # Otherwise a thread of the library's asks where the bucket is, to label traces: a request
                # that needs a permission we don't (storage.buckets.get) and fails in the audit log.
                self._client._bucket_metadata_cache = None
                adapter = HTTPAdapter(pool_connections=4, pool_maxsize=_CONNECTIONS)
                self._client._http.mount("https://", adapter)
                self._client._http.mount("http://", adapter)
                # A download that fails is tried again without its answer being read, which would leak
                # the connection.
                self._client._http.hooks["response"].append(_read_failure)
            return self._client

    def _blob(self, name: str, generation: int | None = None) -> Any:
        full = self._prefix + validate_name(name)
        return self._connected().bucket(self._name).blob(full, generation=generation)

    def _new_blob(self, name: str, metadata: Mapping[str, str] | None) -> tuple[Any, str]:
        blob, token = self._blob(name), uuid.uuid4().hex
        blob.metadata = {**(metadata or {}), TOKEN: token}
        return blob, token

    def _download(self, blob: Any, **span: int) -> Any:
        """The stored bytes, also of a compressed object. Checksums are checked by the caller."""
        return blob.download_as_bytes(
            raw_download=True, checksum=None, timeout=_TIMEOUT_SECONDS, retry=self._retry, **span
        )

    @contextmanager
    def _uploading(
        self, blob: Any, name: str, if_generation: int | None, content_type: str
    ) -> Iterator[ResumableUpload]:
        """A resumable upload that is cancelled when the block fails."""
        with translated("write", self._place(name)):
            session_url = blob.create_resumable_upload_session(
                content_type=content_type,
                if_generation_match=if_generation,
                timeout=_TIMEOUT_SECONDS,
                retry=self._retry,
            )
        upload = ResumableUpload(
            self._connected()._http,
            session_url,
            place=self._place(name),
            timeout_seconds=_TIMEOUT_SECONDS,
            retry_seconds=self._retry_seconds,
        )
        try:
            yield upload
        except BaseException:
            upload.cancel()
            raise

    def _own_write(self, name: str, token: str) -> ObjectInfo:
        """The object whose presence a write was refused for, when it is that write's own."""
        blob = self._blob(name)
        try:
            with translated("read", self._place(name)):
                blob.reload(timeout=_TIMEOUT_SECONDS, retry=self._retry)
        except ObjectMissing:
            pass  # deleted since: not ours to claim
        else:
            if (blob.metadata or {}).get(TOKEN) == token:
                return self._info(blob)
        raise PreconditionFailed(f"{self._place(name)} is not at the generation that was required")

    def _place(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _info(self, blob: Any) -> ObjectInfo:
        return info_of(str(blob.name).removeprefix(self._prefix), blob._properties)


def _read_failure(response: requests.Response, *_: Any, **__: Any) -> None:
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        response.content  # noqa: B018 – a property that reads, and then returns the connection
