"""The JSON API's object resource as an `ObjectInfo`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .base import BucketError, ObjectInfo

# The metadata key by which a write recognises its own object; not part of what callers see.
TOKEN = "deploy-write"  # noqa: S105 – a name, no secret
FIELDS = "name,size,generation,crc32c,updated,contentType,cacheControl,contentEncoding,metadata"


def info_of(name: str, resource: Mapping[str, Any]) -> ObjectInfo:
    """https://cloud.google.com/storage/docs/json_api/v1/objects#resource

    Raises:
        BucketError: a field that every object has is missing.
    """
    try:
        return ObjectInfo(
            name=name,
            size_bytes=int(resource["size"]),
            generation=int(resource["generation"]),
            crc32c=resource["crc32c"],
            updated=datetime.fromisoformat(resource["updated"]).astimezone(UTC),
            content_type=resource.get("contentType") or "application/octet-stream",
            cache_control=resource.get("cacheControl") or "",
            content_encoding=resource.get("contentEncoding") or "",
            metadata={k: v for k, v in (resource.get("metadata") or {}).items() if k != TOKEN},
        )
    except (KeyError, ValueError) as error:
        raise BucketError(f"the service's description of {name} lacks {error}") from error
