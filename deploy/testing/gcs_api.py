"""What the GCS server answers to each request of the JSON API.

https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .gcs_faults import Request
from .gcs_listing import list_page, partial
from .gcs_objects import ApiError, Preconditions, StoredObject, integer
from .gcs_uploads import ResumableUpload, parse_hashes, parse_multipart

if TYPE_CHECKING:
    from .gcs_server import GCSServer

_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
_OBJECTS = re.compile(r"/storage/v1/b/([^/]+)/o")
_RESTORE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/restore")
_COPY = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/(copyTo|rewriteTo)/b/([^/]+)/o/([^/]+)")
_BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
_UPLOAD = re.compile(r"(?:/resumable)?/upload/storage/v1/b/([^/]+)/o")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; its Content-Length is added when it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(gcs: GCSServer, request: Request) -> Answer:
    """What Google answers to `request`, done on `gcs`."""
    try:
        return _routed(gcs, request)
    except ApiError as error:
        return Answer(304) if error.status == 304 else json_answer(error.as_dict(), error.status)


def _routed(gcs: GCSServer, request: Request) -> Answer:
    if match := _UPLOAD.fullmatch(request.path):
        return _upload(gcs, request, unquote(match.group(1)))
    if match := _OBJECT.fullmatch(request.path):
        return _object(gcs, request, unquote(match.group(1)), unquote(match.group(2)))
    if (match := _OBJECTS.fullmatch(request.path)) and request.method == "GET":
        page = list_page(
            _listed(gcs, unquote(match.group(1)), request),
            request.query,
            url=gcs.url,
            page_size=gcs.page_size,
        )
        return json_answer(partial(page, request.query.get("fields", "*")))
    if (match := _RESTORE.fullmatch(request.path)) and request.method == "POST":
        return _restore(gcs, request, *map(unquote, match.groups()))
    if (match := _COPY.fullmatch(request.path)) and request.method == "POST":
        return _copy(gcs, request, *map(unquote, match.groups()))
    if (match := _BUCKET.fullmatch(request.path)) and request.method == "GET":
        return _bucket(gcs, unquote(match.group(1)))
    raise ApiError(404, f"{request.method} {request.path} is not served here.", "notFound")


def _listed(gcs: GCSServer, bucket: str, request: Request) -> Iterable[StoredObject]:
    """Live objects, or with `versions` noncurrent ones too, or with `softDeleted` only what is that."""
    # The Python client writes "True".
    versions, soft_deleted = (
        request.query.get(name, "").lower() == "true" for name in ("versions", "softDeleted")
    )
    if versions and soft_deleted:
        raise ApiError(400, "versions and softDeleted cannot both be set.")
    if versions or soft_deleted:
        return gcs.store.generations(bucket, soft_deleted=soft_deleted)
    return gcs.store.bucket(bucket).values()


def _restore(gcs: GCSServer, request: Request, bucket: str, name: str) -> Answer:
    """https://cloud.google.com/storage/docs/json_api/v1/objects/restore"""
    generation = integer(request.query, "generation")
    if generation is None:
        raise ApiError(400, "Required parameter: generation", "required")
    stored = gcs.store.restore(bucket, name, generation, Preconditions.of(request.query))
    return json_answer(stored.resource(gcs.url))


def _copy(
    gcs: GCSServer, request: Request, bucket: str, name: str, method: str, to_bucket: str, to_name: str
) -> Answer:
    """https://cloud.google.com/storage/docs/json_api/v1/objects copy, rewrite; always in one step."""
    source = gcs.store.get(bucket, name, Preconditions(), integer(request.query, "sourceGeneration"))
    resource = gcs.store.copy(source, to_bucket, to_name, Preconditions.of(request.query)).resource(gcs.url)
    if method == "copyTo":
        return json_answer(resource)
    size = str(len(source.data))
    return json_answer(
        {
            "kind": "storage#rewriteResponse",
            "done": True,
            "totalBytesRewritten": size,
            "objectSize": size,
            "resource": resource,
        }
    )


def _bucket(gcs: GCSServer, name: str) -> Answer:
    """https://cloud.google.com/storage/docs/json_api/v1/buckets/get"""
    gcs.store.bucket(name)
    return json_answer(
        {"kind": "storage#bucket", "id": name, "name": name, "location": "US", "metageneration": "1"}
    )


def _object(gcs: GCSServer, request: Request, bucket: str, name: str) -> Answer:
    """https://cloud.google.com/storage/docs/json_api/v1/objects get, patch, delete."""
    preconditions = Preconditions.of(request.query)
    generation = integer(request.query, "generation")
    if request.method == "DELETE":
        gcs.store.delete(bucket, name, preconditions, generation)
        return Answer(204)
    if request.method == "PATCH":
        stored = gcs.store.patch(bucket, name, _parse_json(request.body), preconditions)
    elif request.method == "GET":
        stored = gcs.store.get(bucket, name, preconditions, generation)
        if request.query.get("alt") == "media":
            return _media(stored, request)
    else:
        raise ApiError(405, f"{request.method} is not allowed on objects.", "methodNotAllowed")
    return json_answer(partial(stored.resource(gcs.url), request.query.get("fields", "*")))


def _media(stored: StoredObject, request: Request) -> Answer:
    """The object's bytes, or a range of them (https://cloud.google.com/storage/docs/json_api/v1/objects/get).

    A gzip-encoded object is decompressed, whole, for a client that does not accept gzip
    (https://cloud.google.com/storage/docs/transcoding).
    """
    headers = {
        "Content-Type": stored.content_type,
        "Cache-Control": stored.cache_control,
        "Content-Disposition": stored.content_disposition,
        "Content-Language": stored.content_language,
        "ETag": stored.etag,
        "Last-Modified": format_datetime(stored.updated, usegmt=True),
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": f"crc32c={stored.crc32c},md5={stored.md5}",
        "X-Goog-Storage-Class": "STANDARD",
        "X-Goog-Stored-Content-Encoding": stored.content_encoding or "identity",
        "X-Goog-Stored-Content-Length": str(len(stored.data)),
    }
    headers = {name: value for name, value in headers.items() if value}
    if stored.content_encoding == "gzip" and "gzip" not in request.headers.get("accept-encoding", ""):
        return Answer(200, gzip.decompress(stored.data), headers | {"Warning": "214 UploadServer gunzipped"})
    if stored.content_encoding:
        headers["Content-Encoding"] = stored.content_encoding
    headers["Accept-Ranges"] = "bytes"
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if not match or match.groups() == ("", ""):
        return Answer(200, stored.data, headers)
    size = len(stored.data)
    if not match.group(1):
        first, last = max(0, size - int(match.group(2))), size - 1
    else:
        first, last = int(match.group(1)), min(int(match.group(2) or size - 1), size - 1)
    if first > last:
        raise ApiError(416, "The requested range cannot be satisfied.", "requestedRangeNotSatisfiable")
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Answer(206, stored.data[first : last + 1], headers)


def _upload(gcs: GCSServer, request: Request, bucket: str) -> Answer:
    """https://cloud.google.com/storage/docs/uploads-downloads#uploads"""
    if "upload_id" in request.query:
        return _resume(gcs, request)
    if request.method != "POST":
        raise ApiError(404, "There is no upload without upload_id.", "notFound")
    kind = request.query.get("uploadType")
    hashes = parse_hashes(request.headers.get("x-goog-hash"))
    preconditions = Preconditions.of(request.query)
    if kind == "multipart":
        resource, data, data_type = parse_multipart(request.headers.get("content-type", ""), request.body)
        resource.setdefault("contentType", data_type)
    elif kind == "media":
        resource, data = {"contentType": request.headers.get("content-type", "")}, request.body
    elif kind == "resumable":
        resource, data = _parse_json(request.body) if request.body else {}, b""
        resource.setdefault("contentType", request.headers.get("x-upload-content-type", ""))
    else:
        raise ApiError(400, f"Invalid uploadType: {kind!r}")
    name = resource.get("name") or request.query.get("name")
    if not name:
        raise ApiError(400, "Required object name is missing.", "required")
    if kind == "resumable":
        return _start(gcs, request, bucket, name, resource, preconditions)
    stored = gcs.store.insert(bucket, name, data, {**resource, **hashes}, preconditions)
    return json_answer(stored.resource(gcs.url))


def _start(
    gcs: GCSServer,
    request: Request,
    bucket: str,
    name: str,
    resource: Mapping[str, Any],
    preconditions: Preconditions,
) -> Answer:
    """https://cloud.google.com/storage/docs/performing-resumable-uploads#initiate-session"""
    gcs.store.check(bucket, name, preconditions)
    declared = request.headers.get("x-upload-content-length")
    upload_id = uuid.uuid4().hex
    gcs.uploads[upload_id] = ResumableUpload(
        gcs.store, bucket, name, resource, preconditions, int(declared) if declared else None
    )
    location = f"{gcs.url}{request.path}?uploadType=resumable&upload_id={upload_id}"
    return Answer(200, headers={"Location": location, "X-GUploader-UploadID": upload_id})


def _resume(gcs: GCSServer, request: Request) -> Answer:
    """https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload, #cancel-upload"""
    upload = gcs.uploads.get(request.query["upload_id"])
    if upload is None:
        raise ApiError(404, "There is no such upload session.", "notFound")
    if request.method == "DELETE":
        upload.cancel()
        raise ApiError(499, "The upload was cancelled.", "cancelled")
    stored = upload.receive(
        request.headers.get("content-range"), request.body, parse_hashes(request.headers.get("x-goog-hash"))
    )
    if stored:
        return json_answer(stored.resource(gcs.url))
    received = len(upload.data)
    return Answer(308, headers={"Range": f"bytes=0-{received - 1}"} if received else {})


def json_answer(data: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(data).encode(), {"Content-Type": "application/json; charset=UTF-8"})


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        raise ApiError(400, "Parse Error", "parseError") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, "Parse Error", "parseError")
    return parsed
