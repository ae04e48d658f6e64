"""What an upload really is, decided by its bytes; names and headers of the client are not asked."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from typing import Any

from django.core.files.base import File

HEAD_BYTES = 4096
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ImageType:
    """A type that we store, with the suffix of its object's name."""

    content_type: str
    suffix: str


JPEG = ImageType("image/jpeg", ".jpg")
PNG = ImageType("image/png", ".png")
GIF = ImageType("image/gif", ".gif")
WEBP = ImageType("image/webp", ".webp")
TYPES = {kind.content_type: kind for kind in (JPEG, PNG, GIF, WEBP)}
# django-storages tells the bucket a type by the object's name, and Python before 3.13 knows .webp only where
# the machine has an /etc/mime.types: a slim container has none.
for _kind in TYPES.values():
    mimetypes.add_type(_kind.content_type, _kind.suffix)


def image_type(file: File[Any], size_bytes: int) -> ImageType | None:
    """The type of `file`, or None if it isn't a whole JPEG, PNG, WebP or GIF. Leaves it at its start.

    puremagic goes by signatures only, and eight bytes of text pass as one; so head and end must also be
    built as the format's specification says. Nothing is decoded: a crafted image reaches no decoder of ours.
    """
    import puremagic

    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(max(0, size_bytes - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    file.seek(0)
    try:
        guesses = {guess.mime_type for guess in puremagic.magic_string(head)}
    except (puremagic.PureError, ValueError):  # nothing it knows; or nothing at all
        return None
    for content_type, kind in TYPES.items():
        if content_type in guesses and _WHOLE[kind](head, tail, size_bytes):
            return kind
    return None


def _is_png(head: bytes, tail: bytes, size_bytes: int) -> bool:
    # https://www.w3.org/TR/png-3/ 5.2, 11.2.1 (IHDR first, 13 bytes, no side 0) and 11.2.4 (IEND last, empty)
    return (
        head[:16] == b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
        and size_bytes >= 57
        and _uint(head[16:20], "big") > 0
        and _uint(head[20:24], "big") > 0
        and b"\x00\x00\x00\x00IEND\xae\x42\x60\x82" in tail
    )


def _is_jpeg(head: bytes, tail: bytes, size_bytes: int) -> bool:
    # ITU-T T.81 B.1.1: SOI, then a segment with its length; EOI ends it. Phones append data after EOI.
    return (
        head[:3] == b"\xff\xd8\xff"
        and 0xC0 <= head[3] <= 0xFE
        and _uint(head[4:6], "big") >= 2
        and size_bytes >= 100
        and b"\xff\xd9" in tail
    )


def _is_gif(head: bytes, tail: bytes, size_bytes: int) -> bool:
    # https://www.w3.org/Graphics/GIF/spec-gif89a.txt: 17, 18 (screen with no side 0), 27 (trailer)
    return (
        head[:6] in (b"GIF87a", b"GIF89a")
        and size_bytes >= 26
        and _uint(head[6:8], "little") > 0
        and _uint(head[8:10], "little") > 0
        and tail.rstrip(b"\x00").endswith(b"\x3b")
    )


def _is_webp(head: bytes, tail: bytes, size_bytes: int) -> bool:
    # RFC 9649, 2.3 and 2.4: the size counts everything after it; the first chunk is one of three
    return (
        head[:4] == b"RIFF"
        and head[8:12] == b"WEBP"
        and head[12:16] in (b"VP8 ", b"VP8L", b"VP8X")
        and size_bytes >= 26
        and 0 <= size_bytes - 8 - _uint(head[4:8], "little") <= 1
    )


_WHOLE = {JPEG: _is_jpeg, PNG: _is_png, GIF: _is_gif, WEBP: _is_webp}


def _uint(data: bytes, order: str) -> int:
    return int.from_bytes(data, "big" if order == "big" else "little")
