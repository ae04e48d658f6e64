"""The state of the GCS server: buckets of objects with generations, preconditions and checksums.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from deploy.buckets.streams import crc32c

from .gcs_history import History
from .gcs_objects_stored import WRITABLE, StoredObject

__all__ = ["ApiError", "ObjectStore", "Preconditions", "StoredObject", "integer"]


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
    """Buckets, their live objects and older generations.

    One lock makes every call atomic, as GCS's strong consistency does
    (https://cloud.google.com/storage/docs/consistency).
    """

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, StoredObject]] = {}
        self._histories: dict[str, History] = {}
        self._last_generation = 0
        self._guard = threading.RLock()

    def create_bucket(self, name: str, *, versioning: bool = False, soft_delete: bool = False) -> None:
        """Google's default is soft delete without versioning; ours is neither."""
        with self._guard:
            self._buckets.setdefault(name, {})
            self._histories.setdefault(name, History(versioning, soft_delete))

    def generations(self, bucket: str, *, soft_deleted: bool = False) -> list[StoredObject]:
        """Every live and noncurrent generation, or the soft-deleted ones. Raises ApiError 404."""
        with self._guard:
            live = list(self._live(bucket).values())
            history = self._histories[bucket]
            return list(history.soft_deleted.values()) if soft_deleted else [*live, *history.older()]

    def bucket(self, name: str) -> dict[str, StoredObject]:
        """A copy of the bucket's objects by name. Raises ApiError 404."""
        with self._guard:
            return dict(self._live(name))

    def get(
        self, bucket: str, name: str, preconditions: Preconditions, generation: int | None = None
    ) -> StoredObject:
        """For reading. Raises ApiError 404, 412, 304."""
        with self._guard:
            self._live(bucket)
            older = self._histories[bucket].noncurrent.get((name, generation or 0))
            current = older or self._existing(bucket, name, generation)
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
        properties: dict[str, Any] = {
            ours: str(resource[key]) for key, ours in WRITABLE.items() if resource.get(key)
        }
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
            **properties,
        )
        for key, actual in (("crc32c", new.crc32c), ("md5Hash", new.md5)):
            if resource.get(key) not in (None, actual):
                raise ApiError(
                    400, f"Provided {key} {resource[key]!r} doesn't match calculated {key} {actual!r}."
                )
        with self._guard:
            return self._put(new, preconditions)

    def copy(
        self, source: StoredObject, bucket: str, name: str, preconditions: Preconditions
    ) -> StoredObject:
        """Write the content and properties of `source` again. Raises ApiError 404 (no bucket), 412."""
        now = datetime.now(UTC)
        new = replace(
            source,
            bucket=bucket,
            name=name,
            metageneration=1,
            created=now,
            updated=now,
            deleted=None,
            soft_deleted=None,
        )
        with self._guard:
            return self._put(new, preconditions)

    def restore(self, bucket: str, name: str, generation: int, preconditions: Preconditions) -> StoredObject:
        """Make a soft-deleted generation live again, as a new one. Raises ApiError 404, 412."""
        with self._guard:
            self._live(bucket)
            source = self._histories[bucket].soft_deleted.get((name, generation))
            if source is None:
                raise ApiError(404, f"No such object: {bucket}/{name}#{generation}", "notFound")
            return self.copy(source, bucket, name, preconditions)

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
            objects, history = self._live(bucket), self._histories[bucket]
            if generation is not None and history.delete_noncurrent(name, generation):
                return
            preconditions.check(self._existing(bucket, name, generation))
            history.retire(objects.pop(name), for_good=generation is not None)

    def damage(self, bucket: str, name: str) -> None:
        """Flip a bit of the stored bytes and keep the checksums: what GCS promises never to do."""
        with self._guard:
            current = self._existing(bucket, name, None)
            data = bytes([current.data[0] ^ 1]) + current.data[1:]
            self._live(bucket)[name] = replace(current, data=data)

    def _put(self, new: StoredObject, preconditions: Preconditions) -> StoredObject:
        objects = self._live(new.bucket)
        before = objects.get(new.name)
        preconditions.check(before)
        self._last_generation = max(time.time_ns() // 1000, self._last_generation + 1)
        stored = objects[new.name] = replace(new, generation=self._last_generation)
        if before is not None:
            self._histories[new.bucket].retire(before)
        return stored

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
