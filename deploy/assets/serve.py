"""Serves the static files of a local-folder bucket, for a machine without a CDN or a proxy before it.

Every release's hashed files stay in the bucket, so a page of the release before gets its files from the
new one's server too. In production a CDN or the proxy does this.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from wsgiref.handlers import format_date_time

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from deploy import conf as configuration
from deploy.buckets import open_bucket
from deploy.buckets.base import Bucket, BucketError, ObjectInfo
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal

from .collect import baked_names
from .content import content_type
from .manifest import MANIFEST_FOLDER
from .plan import IMMUTABLE, SHORT

_BLOCK_BYTES = 1 << 18


@require_safe
def serve_static(request: HttpRequest, path: str) -> HttpResponseBase:
    """The file `path` below STATIC_URL: out of the static bucket (a local folder), else baked, else (with
    DEBUG) by its plain name from the sources. GET and HEAD, conditional requests, nothing else.

    Raises:
        Http404: no release has a file of that name.
    """
    conf, _ = configuration.read()
    response = _from_bucket(request, conf, path) or _from_root(request, conf, path) or _from_sources(path)
    if response is None:
        raise Http404(f"no static file {path!r}")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _from_bucket(request: HttpRequest, conf: DeployConf, path: str) -> HttpResponseBase | None:
    if not conf.static_bucket.startswith("file://") or path.startswith(f"{MANIFEST_FOLDER}/"):
        return None
    bucket = open_bucket(conf.static_bucket)
    try:
        info = bucket.stat(path)
    except (BucketError, Refusal):  # a name that no object can have
        return None
    if info is None:
        return None
    tag = f"{info.crc32c}-{info.size_bytes}"
    headers = _headers(tag, info.updated, info.cache_control or SHORT)
    if answer := _not_modified(request, headers, info.updated):
        return answer
    blocks = () if request.method == "HEAD" else _blocks(bucket, info)
    headers["Content-Length"] = str(info.size_bytes)
    return StreamingHttpResponse(blocks, content_type=info.content_type, headers=headers)


def _from_root(request: HttpRequest, conf: DeployConf, path: str) -> HttpResponseBase | None:
    """Only names that the baked manifest holds: no path of the request's own making is ever opened."""
    hashed = path in set(baked_names().values())
    file = Path(settings.STATIC_ROOT or "", path)
    if not settings.STATIC_ROOT or not (hashed or path in conf.static_unhashed) or not file.is_file():
        return None
    state = file.stat()
    updated = datetime.fromtimestamp(state.st_mtime, tz=UTC)
    headers = _headers(f"{state.st_mtime_ns:x}-{state.st_size:x}", updated, IMMUTABLE if hashed else SHORT)
    if answer := _not_modified(request, headers, updated):
        return answer
    return FileResponse(file.open("rb"), content_type=content_type(path), headers=headers)


def _from_sources(path: str) -> HttpResponseBase | None:
    if not settings.DEBUG or not (found := finders.find(path)):
        return None
    file = Path(str(found))
    response = FileResponse(file.open("rb"), content_type=content_type(path))
    response.headers["Cache-Control"] = "no-cache"
    return response


def _headers(tag: str, updated: datetime, caching: str) -> dict[str, str]:
    return {
        "ETag": quote_etag(tag),
        "Last-Modified": format_date_time(updated.timestamp()),
        "Cache-Control": caching,
    }


def _not_modified(request: HttpRequest, headers: dict[str, str], updated: datetime) -> HttpResponse | None:
    """The 304 or 412 that the request's conditions ask for, or None to send the file."""
    plain = HttpResponse(headers=headers)
    answer = get_conditional_response(
        request, etag=headers["ETag"], last_modified=int(updated.timestamp()), response=plain
    )
    return None if answer is plain else answer


def _blocks(bucket: Bucket, info: ObjectInfo) -> Iterator[bytes]:
    with bucket.open_read(info.name) as reader:
        while block := reader.read(_BLOCK_BYTES):
            yield block
