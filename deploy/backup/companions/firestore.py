"""Firestore's portable export, beside the archive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from deploy.backup.firestore.connection import Database, connected, database_of
from deploy.backup.firestore.export import FILE, export
from deploy.backup.firestore.findings import SKEWED
from deploy.backup.firestore.restore import KIND
from deploy.backup.firestore.values import Digest
from deploy.backup.manifest import Companion
from deploy.conf_backup import FirestoreConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from . import Folder

# Up to this, a moment on a whole minute is as near as Firestore shows one.
_NEAR_SECONDS = 60


def add_skew(folder: Folder, database: Database, moment: datetime, step: Step) -> float:
    """Seconds from the database's snapshot to what was kept; more than a minute is a finding."""
    seconds = round((moment - folder.created).total_seconds(), 3)
    if abs(seconds) > _NEAR_SECONDS:
        step.add(
            SKEWED(
                moment=moment.isoformat(),
                seconds=seconds,
                project=database.project,
                name=database.name,
            )
        )
    return seconds


class FirestoreKeeper:
    """Keeps every document as of the database's snapshot."""

    kind = KIND

    def __init__(self, conf: FirestoreConf) -> None:
        self._conf = conf

    def keep(self, folder: Folder, step: Step) -> Companion:
        """See `Keeper`. Where Firestore can't be exported the backup goes on without, and is said to be."""
        database = database_of(self._conf)
        facts: dict[str, Any] = {"database": database.path}
        try:
            with connected(database, self._conf.endpoint) as client:
                kept = export(
                    client,
                    database,
                    created=folder.created,
                    store=lambda pieces: folder.store(FILE, pieces),
                    progress=lambda done: step.progress(done, unit="documents", note="Firestore"),
                )
        except Refusal as refusal:
            step.extend(refusal.findings)
            reason = "; ".join(finding.message.rstrip(".") for finding in refusal.findings)
            facts |= {"state": "failed", "reason": reason}
            return Companion(self.kind, datetime.now(UTC), None, facts)
        skew_seconds = add_skew(folder, database, kept.moment, step)
        step.facts["firestore_documents"] = kept.documents
        return Companion(
            self.kind,
            kept.moment,
            kept.part,
            {
                **facts,
                "state": "stored",
                "documents": kept.documents,
                "digest": kept.digest,
                "digest_method": Digest.method,
                "skew_seconds": skew_seconds,
            },
        )
