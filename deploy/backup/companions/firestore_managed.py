"""Firestore's managed export: Google writes it into a bucket of its own, we note which and of when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from deploy.backup.firestore.connection import database_of, failed
from deploy.backup.firestore.findings import STILL_RUNNING
from deploy.backup.firestore.managed import Operation, administered, start_export, wait
from deploy.backup.manifest import Companion
from deploy.conf_backup import FirestoreConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from . import Folder
from .firestore import add_skew

# A deploy does not wait longer. The export goes on without us, and `backups firestore ID` tells how it ended.
WAIT_SECONDS = 600.0


class ManagedFirestoreKeeper:
    """Keeps a managed export as of the whole minute of the database's snapshot."""

    kind = "firestore-managed"

    def __init__(self, conf: FirestoreConf, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._conf, self._wait_seconds = conf, wait_seconds

    def keep(self, folder: Folder, step: Step) -> Companion:
        """See `Keeper`. Where Firestore can't be exported the backup goes on without, and is said to be."""
        database = database_of(self._conf)
        below = folder.identity.object_name(folder.backup_id, "").rstrip("/")
        facts: dict[str, Any] = {"database": database.path, "uri": f"{self._conf.managed_export}/{below}"}
        moment = datetime.now(UTC)
        try:
            with administered(database, self._conf.admin_endpoint) as client:
                folder.guard()
                operation, moment = start_export(
                    client, database, facts["uri"], created=folder.created, now=moment
                )
                facts |= {
                    "operation": operation,
                    "skew_seconds": add_skew(folder, database, moment, step),
                }
                found = wait(
                    client,
                    database,
                    operation,
                    seconds=self._wait_seconds,
                    stopped=folder.stopped,
                    progress=lambda seen: step.progress(
                        seen.documents, seen.total or None, unit="documents", note="Firestore, managed"
                    ),
                )
        except Refusal as refusal:
            step.extend(refusal.findings)
            reason = "; ".join(finding.message.rstrip(".") for finding in refusal.findings)
            # One that was started may be well all the same: it is there to be asked about.
            state = "unknown" if "operation" in facts else "failed"
            return Companion(self.kind, moment, None, {**facts, "state": state, "reason": reason})
        if found.state == "failed":
            step.add(failed(database, f"exported to {facts['uri']}", found.reason))
        elif found.state == "running":
            step.add(STILL_RUNNING(database=database, seconds=round(self._wait_seconds), operation=operation))
        return Companion(self.kind, moment, None, {**facts, **seen(found)})


def seen(operation: Operation) -> dict[str, Any]:
    """What the manifest says of how the export stood."""
    return {
        "state": operation.state,
        "documents": operation.documents,
        "bytes": operation.done_bytes,
        **({"reason": operation.reason} if operation.reason else {}),
    }
