"""One generation of an object, and its description in the JSON API."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

SOFT_DELETED_FOR = timedelta(days=7)  # Google's default

# What a client may set on an object (insert and patch) and our field for it.
WRITABLE = {
    "contentType": "content_type",
    "cacheControl": "cache_control",
    "contentEncoding": "content_encoding",
    "contentDisposition": "content_disposition",
    "contentLanguage": "content_language",
}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One generation of one object; `crc32c` and `md5` are base64 as in the API.

    Attributes:
        deleted: UTC, since when it is noncurrent or deleted. soft_deleted: UTC, since when it is that.
    """

    bucket: str
    name: str
    data: bytes
    generation: int
    metageneration: int
    crc32c: str
    md5: str
    created: datetime
    updated: datetime
    content_type: str = "application/octet-stream"
    cache_control: str = ""
    content_encoding: str = ""
    content_disposition: str = ""
    content_language: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    deleted: datetime | None = None
    soft_deleted: datetime | None = None

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    def resource(self, url: str) -> dict[str, Any]:
        """The Objects resource (https://cloud.google.com/storage/docs/json_api/v1/objects#resource)."""
        path = f"/storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"
        resource: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": url + path,
            "mediaLink": f"{url}/download{path}?generation={self.generation}&alt=media",
            "bucket": self.bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            "crc32c": self.crc32c,
            "md5Hash": self.md5,
            "etag": self.etag,
            "storageClass": "STANDARD",
            "timeCreated": _rfc3339(self.created),
            "updated": _rfc3339(self.updated),
        }
        if self.deleted:
            resource["timeDeleted"] = _rfc3339(self.deleted)
        if self.soft_deleted:
            resource["softDeleteTime"] = _rfc3339(self.soft_deleted)
            resource["hardDeleteTime"] = _rfc3339(self.soft_deleted + SOFT_DELETED_FOR)
        resource |= {key: value for key, name in WRITABLE.items() if (value := getattr(self, name))}
        return resource | ({"metadata": dict(self.metadata)} if self.metadata else {})


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
