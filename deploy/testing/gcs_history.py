"""Generations that are no longer live: noncurrent ones (versioning) and soft-deleted ones.

https://cloud.google.com/storage/docs/object-versioning, https://cloud.google.com/storage/docs/soft-delete
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from .gcs_objects_stored import StoredObject


@dataclass
class History:
    """What one bucket keeps beside its live objects; with neither policy, nothing.

    Attributes:
        versioning: what is overwritten, or deleted without naming its generation, becomes noncurrent.
        soft_delete: what would be gone otherwise is kept for a week.
    """

    versioning: bool = False
    soft_delete: bool = False
    noncurrent: dict[tuple[str, int], StoredObject] = field(default_factory=dict)
    soft_deleted: dict[tuple[str, int], StoredObject] = field(default_factory=dict)

    def retire(self, stored: StoredObject, *, for_good: bool = False) -> None:
        """A generation that is live no more; `for_good` when its deletion named the generation."""
        now = datetime.now(UTC)
        if self.versioning and not for_good:
            self.noncurrent[stored.name, stored.generation] = replace(stored, deleted=now)
        elif self.soft_delete:
            self.soft_deleted[stored.name, stored.generation] = replace(
                stored, deleted=stored.deleted or now, soft_deleted=now
            )

    def delete_noncurrent(self, name: str, generation: int) -> bool:
        """Delete this noncurrent generation; False where there is none."""
        stored = self.noncurrent.pop((name, generation), None)
        if stored is not None:
            self.retire(stored, for_good=True)
        return stored is not None

    def older(self) -> Iterator[StoredObject]:
        """The noncurrent generations."""
        yield from list(self.noncurrent.values())
