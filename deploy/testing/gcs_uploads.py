"""Uploads as the GCS server takes them: multipart in one request, resumable in several."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from .gcs_objects import ApiError, ObjectStore, Preconditions, StoredObject

CHUNK_UNIT_BYTES = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def parse_multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes, str]:
    """The resource, the data and the data's content type of a `multipart/related` body.

    https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects (RFC 2387).
    Raises ApiError 400.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str):
        raise ApiError(400, "The multipart upload has no boundary.")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(parts) != 4 or not parts[3].startswith(b"--"):
        raise ApiError(400, "The multipart upload must have two parts.")
    try:
        resource_part, data_part = (part.split(b"\r\n\r\n", 1) for part in parts[1:3])
        _, text = resource_part
        resource = json.loads(text)
        data_headers, data = data_part
    except ValueError:
        raise ApiError(400, "The multipart upload is malformed.") from None
    match = re.search(rb"(?im)^content-type: *([^\r\n]+)", data_headers)
    return resource, data, match.group(1).decode() if match else ""


def parse_hashes(header: str | None) -> dict[str, str]:
    """The resource fields of an `x-goog-hash` header: `crc32c=…,md5=…`.

    https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash
    """
    names = {"crc32c": "crc32c", "md5": "md5Hash"}
    pairs = (part.strip().partition("=") for part in (header or "").split(","))
    return {names[kind]: digest for kind, _, digest in pairs if kind in names}


@dataclass
class ResumableUpload:
    """One session (https://cloud.google.com/storage/docs/performing-resumable-uploads).

    Preconditions are checked when the session starts and again, atomically, when it becomes an object.
    """

    store: ObjectStore
    bucket: str
    name: str
    resource: Mapping[str, Any]
    preconditions: Preconditions
    declared_bytes: int | None = None
    data: bytearray = field(default_factory=bytearray)
    finished: StoredObject | None = None
    cancelled: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def cancel(self) -> None:
        with self._guard:
            self.cancelled = True

    def receive(
        self, content_range: str | None, body: bytes, hashes: Mapping[str, str]
    ) -> StoredObject | None:
        """Take a chunk or answer a status query; the object when it is complete, else None (308).

        `content_range` is `bytes A-B/N`, `bytes A-B/*`, or `bytes */N` and `bytes */*` without a body; None
        is the whole object in one request. Raises ApiError 400, 412, 499.
        """
        with self._guard:
            if self.cancelled:
                raise ApiError(499, "The upload was cancelled.", "cancelled")
            if self.finished:
                return self.finished
            first, total = self._parse(content_range, body)
            if first > len(self.data):
                raise ApiError(
                    400, f"The chunk starts at {first}, but only {len(self.data)} bytes are stored."
                )
            if total is None and len(body) % CHUNK_UNIT_BYTES:
                raise ApiError(400, f"A chunk that is not the last must be a multiple of {CHUNK_UNIT_BYTES}.")
            self.data += body[len(self.data) - first :]  # bytes that came before are not taken again
            if total is None or len(self.data) < total:
                return None
            if len(self.data) > total or self.declared_bytes not in (None, total):
                raise ApiError(400, f"{len(self.data)} bytes came, {total} were announced.")
            self.finished = self.store.insert(
                self.bucket, self.name, bytes(self.data), {**self.resource, **hashes}, self.preconditions
            )
            return self.finished

    def _parse(self, content_range: str | None, body: bytes) -> tuple[int, int | None]:
        if content_range is None:
            return 0, len(body)
        match = _CONTENT_RANGE.fullmatch(content_range.strip())
        if not match:
            raise ApiError(400, f"Invalid Content-Range: {content_range!r}")
        first, last, total = match.groups()
        announced = 0 if first is None else int(last) - int(first) + 1
        if announced != len(body):
            raise ApiError(400, f"Content-Range {content_range!r} does not fit {len(body)} bytes.")
        return int(first) if first else len(self.data), None if total == "*" else int(total)
