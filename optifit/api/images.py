"""Users' images: uploaded, listed, fetched. Everybody sees their own, and nobody else's exist for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from ninja import File, Query, Router, Schema, Status
from ninja.files import UploadedFile
from pydantic import Field

from optifit.image_store import image_url, signs_urls, store_image
from optifit.image_types import TYPES, image_type
from optifit.models import Image

from .auth import Bearer
from .errors import Problems, Rejected

router = Router(auth=Bearer())


class ImageOut(Schema):
    """`url` is signed and short-lived where the storage can sign, else a path that takes the bearer token."""

    id: UUID
    name: str
    content_type: str
    size_bytes: int
    created: datetime
    url: str


class ImagePage(Schema):
    """`count` is of all of the user's images."""

    items: list[ImageOut]
    count: int


class Page(Schema):
    """Which part of the list, newest first."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=2_147_483_647)] = 0


@router.post(
    "",
    response={201: ImageOut, frozenset({400, 401, 413, 415, 422}): Problems},
    summary="Upload an image",
    operation_id="create_image",
)
def create(request: HttpRequest, file: File[UploadedFile]) -> Any:
    """Store a JPEG, PNG, WebP or GIF. What it is, its bytes say; its name is only kept to be shown."""
    size_bytes = file.size or 0
    if size_bytes > settings.IMAGE_MAX_BYTES:
        raise Rejected(413, f"The image is larger than {settings.IMAGE_MAX_BYTES} bytes.", field="file")
    if not size_bytes:
        raise Rejected(422, "The file is empty.", field="file")
    kind = image_type(file, size_bytes)
    if kind is None:
        raise Rejected(415, f"This is not a whole image of {', '.join(TYPES)}.", field="file")
    return Status(201, _shown(store_image(_owner(request), file, kind, size_bytes)))


@router.get("", response={200: ImagePage, frozenset({401, 422}): Problems}, operation_id="list_images")
def index(request: HttpRequest, page: Query[Page]) -> Any:
    """Your images, newest first."""
    images = Image.objects.filter(owner=_owner(request))
    part = images[page.offset : page.offset + page.limit]
    return ImagePage(items=[_shown(image) for image in part], count=images.count())


@router.get(
    "/{uuid:image_id}/content",
    url_name="image_content",
    response={200: bytes, 302: None, frozenset({401, 404}): Problems},
    operation_id="get_image_content",
)
def content(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    """The image itself, or a redirect to its signed URL."""
    image = get_object_or_404(Image, pk=image_id, owner=_owner(request))
    if signs_urls():
        response: HttpResponseBase = HttpResponseRedirect(image_url(image))
        response.headers["Cache-Control"] = "no-store"
        return response
    try:
        file = default_storage.open(image.object_name)
    except FileNotFoundError:
        raise Http404 from None
    response = FileResponse(file, filename=image.name, content_type=image.content_type)
    response.headers["Cache-Control"] = "private, max-age=3600, immutable"
    # An image that is also a valid page or script (a polyglot) must not run as one.
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _owner(request: HttpRequest) -> Any:
    return request.auth.user  # type: ignore[attr-defined]  # set by Bearer


def _shown(image: Image) -> ImageOut:
    return ImageOut(
        id=image.pk,
        name=image.name,
        content_type=image.content_type,
        size_bytes=image.size_bytes,
        created=image.created,
        url=image_url(image),
    )
