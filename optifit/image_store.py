"""Puts images into the default storage and the database together, and says where they can be fetched."""

from __future__ import annotations

import unicodedata
import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.urls import reverse

from .image_types import ImageType
from .models import Image

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def store_image(owner: User, file: UploadedFile, kind: ImageType, size_bytes: int) -> Image:
    """The object first, under a random name of ours; then the row, in a transaction.

    If the row fails, the object is deleted. Killed in between, an object without a row is left over: it
    costs some space and is visible to nobody.
    """
    object_name = default_storage.save(f"images/{owner.pk}/{uuid.uuid4().hex}{kind.suffix}", file)
    image = Image(
        owner=owner,
        object_name=object_name,
        name=shown_name(file.name or ""),
        content_type=kind.content_type,
        size_bytes=size_bytes,
    )
    inserted = False
    try:
        with transaction.atomic():
            image.save(force_insert=True)
            inserted = True
    except BaseException as error:
        # A COMMIT whose answer was lost may have happened: then the object stays, because a row without
        # its object would be worse than an object without its row. A violated constraint is an answer.
        if not inserted or isinstance(error, IntegrityError):
            default_storage.delete(object_name)
        raise
    image.refresh_from_db(fields=["created"])
    return image


def forget_object(sender: type[Image], instance: Image, **_: object) -> None:
    """A deleted row takes its object along, also when its owner is deleted; not if that is rolled back.

    The row is gone by then: a storage that does not answer is logged, and leaves an object without a row.
    """

    def delete_object() -> None:  # not a partial: Django logs a failed hook by its __qualname__
        default_storage.delete(instance.object_name)

    transaction.on_commit(delete_object, robust=True)


def shown_name(name: str) -> str:
    """The client's file name, to show: its last part, printable, 255 characters at most."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    printable = "".join(character for character in last if character.isprintable()).strip(" .")
    return printable[:255] or "image"


def image_url(image: Image) -> str:
    """A signed URL that works for SIGNED_URL_SECONDS where the storage signs, else the API's own path.

    Signing may cost a call of the IAM API, so a signed URL is used again for half of its time.
    """
    if not signs_urls():
        return reverse("api:image_content", kwargs={"image_id": image.pk})
    key = f"signed-url:{image.object_name}"
    url: str | None = cache.get(key)
    if url is None:
        url = default_storage.url(image.object_name)
        cache.set(key, url, timeout=settings.SIGNED_URL_SECONDS // 2)
    return url


def signs_urls() -> bool:
    """The default storage makes URLs that expire (django-storages' `querystring_auth`)."""
    return bool(getattr(default_storage, "querystring_auth", False))
