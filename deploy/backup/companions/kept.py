"""Find a backup's companion of one kind."""

from __future__ import annotations

from deploy.backup.manifest import Companion, Manifest, Part
from deploy.reporting.findings import FindingType, Refusal

NOT_KEPT = FindingType(
    "deploy.B073",
    "error",
    "The backup {id} holds no {kind}{reason}.",
    "python manage.py backups list",
)


def companion_of(manifest: Manifest, kind: str) -> tuple[Companion, Part]:
    """The companion, and its file.

    Raises:
        Refusal: deploy.B073 where the backup holds none.
    """
    found = next((one for one in manifest.companions if one.kind == kind), None)
    if found is None or found.part is None:
        reason = f": {found.facts['failed']}" if found and found.facts.get("failed") else ""
        raise Refusal(NOT_KEPT(id=manifest.id, kind=kind, reason=reason))
    return found, found.part
