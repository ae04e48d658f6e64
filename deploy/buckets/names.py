"""Which object names are allowed: the same for every store, so that a release can move between them."""

from __future__ import annotations

import re

from deploy.reporting.findings import Refusal

from .base import OBJECT_NAME_INVALID

# Google's limit is 1024 bytes for the whole name (https://cloud.google.com/storage/docs/objects#naming);
# the rest is left to the bucket's prefix. A part becomes a file name locally, where 255 bytes is the limit.
MAX_NAME_BYTES = 900
MAX_PART_BYTES = 200
_ALLOWED = re.compile(r"[A-Za-z0-9/._=+@~-]*")


def validate_name(name: str) -> str:
    """`name` itself, when it is allowed.

    Raises:
        Refusal: deploy.K003.
    """
    if not name:
        raise _refused(name, "it is empty")
    _validate_characters(name)
    for part in name.split("/"):
        if part == "":
            raise _refused(name, "it has an empty part")
        _validate_part(name, part)
    return name


def validate_prefix(prefix: str) -> str:
    """`prefix` itself, when names could begin with it: it may be empty and may end anywhere in a part.

    Raises:
        Refusal: deploy.K003.
    """
    _validate_characters(prefix)
    *folders, rest = prefix.split("/")
    for folder in folders:
        if folder == "":
            raise _refused(prefix, "it has an empty part")
        _validate_part(prefix, folder)
    if rest == "..":
        raise _refused(prefix, "'..' is not allowed")
    return prefix


def _validate_characters(name: str) -> None:
    if not _ALLOWED.fullmatch(name):
        strange = next(character for character in name if not _ALLOWED.fullmatch(character))
        raise _refused(name, f"it contains {strange!r}")
    if len(name) > MAX_NAME_BYTES:
        raise _refused(f"{name[:40]}…", f"it is {len(name)} bytes long, {MAX_NAME_BYTES} at most")


def _validate_part(name: str, part: str) -> None:
    if part in (".", ".."):
        raise _refused(name, f"{part!r} is not allowed")
    if len(part) > MAX_PART_BYTES:
        raise _refused(f"{name[:40]}…", f"a part is {len(part)} bytes long, {MAX_PART_BYTES} at most")


def _refused(name: str, reason: str) -> Refusal:
    return Refusal(OBJECT_NAME_INVALID(name=name, reason=reason))
