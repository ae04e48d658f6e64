"""The state of the GCS server: buckets of objects with generations, preconditions and checksums.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from deploy.buckets.streams import crc32c

# What a client may set on an object (insert and patch) and our field for it.
WRITABLE = {
    "contentType": "content_type",
    "cacheControl": "cache_control",
    "contentEncoding": "content_encoding",
    "contentDisposition": "content_disposition",
    "contentLanguage": "content_language",
}


class ApiError(Exception):
    """A JSON API error answer (https://cloud.google.com/storage/docs/json_api/v1/status-codes)."""

    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.status, self.message, self.reason = status, message, reason

    def as_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One generation of one object; `crc32c` and `md5` are base64 as in the API."""

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
        resource |= {key: value for key, name in WRITABLE.items() if (value := getattr(self, name))}
        return resource | ({"metadata": dict(self.metadata)} if self.metadata else {})


@dataclass(frozen=True, slots=True)
class Preconditions:
    """https://cloud.google.com/storage/docs/request-preconditions; 0 stands for "there is no object"."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Preconditions:
        """From the query parameters. The Python client writes one of them with a capital G."""
        lowered = {key.lower(): value for key, value in query.items()}
        return cls(
            *(
                integer(lowered, name)
                for name in (
                    "ifgenerationmatch",
                    "ifgenerationnotmatch",
                    "ifmetagenerationmatch",
                    "ifmetagenerationnotmatch",
                )
            )
        )

    def check(self, current: StoredObject | None, *, reading: bool = False) -> None:
        """Raises ApiError 412, or 304 where a read's "not match" does not hold."""
        generation = current.generation if current else 0
        metageneration = current.metageneration if current else None
        unequal = (
            self.generation_match is not None and self.generation_match != generation,
            self.metageneration_match is not None and self.metageneration_match != metageneration,
        )
        equal = (
            self.generation_not_match is not None and self.generation_not_match == generation,
            self.metageneration_not_match is not None and self.metageneration_not_match == metageneration,
        )
        if any(unequal) or (any(equal) and not reading):
            raise ApiError(
                412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet"
            )
        if any(equal):
            raise ApiError(304, "Not Modified", "notModified")


class ObjectStore:
    """Buckets and their live objects. One lock makes every call atomic, as GCS's strong consistency does
    (https://cloud.google.com/storage/docs/consistency)."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, StoredObject]] = {}
        self._last_generation = 0
        self._guard = threading.RLock()

    def create_bucket(self, name: str) -> None:
        with self._guard:
            self._buckets.setdefault(name, {})

    def bucket(self, name: str) -> dict[str, StoredObject]:
        """A copy of the bucket's objects by name. Raises ApiError 404."""
        with self._guard:
            return dict(self._live(name))

    def get(
        self, bucket: str, name: str, preconditions: Preconditions, generation: int | None = None
    ) -> StoredObject:
        """For reading. Raises ApiError 404, 412, 304."""
        with self._guard:
            current = self._existing(bucket, name, generation)
            preconditions.check(current, reading=True)
            return current

    def check(self, bucket: str, name: str, preconditions: Preconditions) -> None:
        """What a write would say now. Raises ApiError 404 (no bucket), 412."""
        with self._guard:
            preconditions.check(self._live(bucket).get(name))

    def insert(
        self, bucket: str, name: str, data: bytes, resource: Mapping[str, Any], preconditions: Preconditions
    ) -> StoredObject:
        """Write an object; `crc32c` and `md5Hash` of `resource` must match the data.

        Raises ApiError 400, 404 (no bucket), 412.
        """
        new = StoredObject(
            bucket,
            name,
            data,
            generation=0,
            metageneration=1,
            crc32c=crc32c(data),
            md5=base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
            created=datetime.now(UTC),
            updated=datetime.now(UTC),
            metadata=dict(resource.get("metadata") or {}),
            **{ours: str(resource[key]) for key, ours in WRITABLE.items() if resource.get(key)},
        )
        for key, actual in (("crc32c", new.crc32c), ("md5Hash", new.md5)):
            if resource.get(key) not in (None, actual):
                raise ApiError(
                    400, f"Provided {key} {resource[key]!r} doesn't match calculated {key} {actual!r}."
                )
        with self._guard:
            objects = self._live(bucket)
            preconditions.check(objects.get(name))
            self._last_generation = max(time.time_ns() // 1000, self._last_generation + 1)
            new = objects[name] = replace(new, generation=self._last_generation)
            return new

    def patch(
        self, bucket: str, name: str, changes: Mapping[str, Any], preconditions: Preconditions
    ) -> StoredObject:
        """Change properties; null removes one. Raises ApiError 404, 412."""
        with self._guard:
            current = self._existing(bucket, name, None)
            preconditions.check(current)
            metadata: dict[str, Any] = {**current.metadata, **(changes.get("metadata") or {})}
            if "metadata" in changes and changes["metadata"] is None:
                metadata = {}
            properties: dict[str, Any] = {
                ours: changes[key] or "" for key, ours in WRITABLE.items() if key in changes
            }
            patched = replace(
                current,
                metageneration=current.metageneration + 1,
                updated=datetime.now(UTC),
                metadata={key: value for key, value in metadata.items() if value is not None},
                **properties,
            )
            self._live(bucket)[name] = patched
            return patched

    def delete(
        self, bucket: str, name: str, preconditions: Preconditions, generation: int | None = None
    ) -> None:
        """Raises ApiError 404, 412."""
        with self._guard:
            preconditions.check(self._existing(bucket, name, generation))
            del self._live(bucket)[name]

    def damage(self, bucket: str, name: str) -> None:
        """Flip a bit of the stored bytes and keep the checksums: what GCS promises never to do."""
        with self._guard:
            current = self._existing(bucket, name, None)
            data = bytes([current.data[0] ^ 1]) + current.data[1:]
            self._live(bucket)[name] = replace(current, data=data)

    def _live(self, bucket: str) -> dict[str, StoredObject]:
        if bucket not in self._buckets:
            raise ApiError(404, "The specified bucket does not exist.", "notFound")
        return self._buckets[bucket]

    def _existing(self, bucket: str, name: str, generation: int | None) -> StoredObject:
        current = self._live(bucket).get(name)
        if current is None or generation not in (None, current.generation):
            raise ApiError(404, f"No such object: {bucket}/{name}", "notFound")
        return current


def integer(query: Mapping[str, str], name: str) -> int | None:
    """The query parameter as a number, None without it. Raises ApiError 400."""
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError:
        raise ApiError(400, f"Invalid value for {name}: {query[name]!r}") from None


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
