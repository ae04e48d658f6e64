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
    response = StreamingHttpResponse(
        () if request.method == "HEAD" else _blocks(bucket, info), content_type=info.content_type
    )
    response.headers["Content-Length"] = str(info.size_bytes)
    caching = info.cache_control or SHORT
    return _conditional(request, response, f"{info.crc32c}-{info.size_bytes}", info.updated, caching)


def _from_root(request: HttpRequest, conf: DeployConf, path: str) -> HttpResponseBase | None:
    """Only names that the baked manifest holds: no path of the request's own making is ever opened."""
    baked = baked_names()
    hashed = path in set(baked.values())
    if not hashed and path not in conf.static_unhashed:
        return None
    file = Path(settings.STATIC_ROOT or "", path)
    if not settings.STATIC_ROOT or not file.is_file():
        return None
    state = file.stat()
    updated = datetime.fromtimestamp(state.st_mtime, tz=UTC)
    response = FileResponse(file.open("rb"), content_type=content_type(path))
    tag = f"{state.st_mtime_ns:x}-{state.st_size:x}"
    return _conditional(request, response, tag, updated, IMMUTABLE if hashed else SHORT)


def _from_sources(path: str) -> HttpResponseBase | None:
    if not settings.DEBUG or not (found := finders.find(path)):
        return None
    file = Path(str(found))
    response = FileResponse(file.open("rb"), content_type=content_type(path))
    response.headers["Cache-Control"] = "no-cache"
    return response


def _conditional(
    request: HttpRequest, response: HttpResponseBase, tag: str, updated: datetime, caching: str
) -> HttpResponseBase:
    etag = quote_etag(tag)
    response.headers["ETag"] = etag
    response.headers["Last-Modified"] = format_date_time(updated.timestamp())
    response.headers["Cache-Control"] = caching
    plain = HttpResponse(headers=dict(response.headers.items()))
    answer = get_conditional_response(
        request, etag=etag, last_modified=int(updated.timestamp()), response=plain
    )
    if answer is plain or answer is None:
        return response
    response.close()
    return answer


def _blocks(bucket: Bucket, info: ObjectInfo) -> Iterator[bytes]:
    with bucket.open_read(info.name) as reader:
        while block := reader.read(_BLOCK_BYTES):
            yield block
