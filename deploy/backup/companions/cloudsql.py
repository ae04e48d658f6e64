"""Cloud SQL's own backup of the instance, beside the archive: a second path that shares nothing with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from deploy.backup.cloudsql.connection import EDITOR, connected, instance_of
from deploy.backup.cloudsql.findings import SHARED, STILL_RUNNING
from deploy.backup.cloudsql.on_demand import PACE, Taken, take
from deploy.backup.cloudsql.operations import Admin, Pace
from deploy.backup.manifest import Companion
from deploy.backup.naming import MANIFEST
from deploy.conf_backup import CloudSQLConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from . import Abandoned, Folder

KIND = "cloudsql"


class CloudSQLKeeper:
    """Has Cloud SQL back the instance up, and notes which of its backups belongs to ours."""

    kind = KIND

    def __init__(self, conf: CloudSQLConf, pace: Pace = PACE) -> None:
        self._conf = conf
        self._pace = pace

    def keep(self, folder: Folder, step: Step) -> Companion:
        """See `Keeper`. Where Cloud SQL can't do it, the backup goes on without, and is said to be."""
        instance = instance_of(self._conf)

        def pause(seconds: float) -> None:
            if folder.stopped.wait(seconds):
                raise Abandoned("the backup that this one goes with has failed")

        facts: dict[str, Any] = {"project": instance.project, "instance": instance.name}
        folder.guard()  # not below: what it refuses is not Cloud SQL's
        try:
            with connected(self._conf) as service:
                taken = take(
                    Admin(service, instance, EDITOR, self._pace, step, pause),
                    folder.identity,
                    folder.backup_id,
                    folder.created,
                    exists=lambda other: (
                        folder.bucket.stat(folder.identity.object_name(other, MANIFEST)) is not None
                    ),
                )
        except Refusal as refusal:
            step.extend(refusal.findings)
            reason = "; ".join(finding.message for finding in refusal.findings)
            return Companion(
                self.kind, datetime.now(UTC), None, facts | {"state": "failed", "reason": reason}
            )
        run = taken.run
        early = (folder.created - run.moment).total_seconds()
        if taken.taken_for != folder.backup_id and early > 0:
            step.add(SHARED(backup=run.id, instance=instance, other=taken.taken_for, seconds=round(early, 3)))
        if run.is_unfinished:
            step.add(
                STILL_RUNNING(
                    instance=instance,
                    project=instance.project,
                    name=instance.name,
                    backup=run.id,
                    seconds=round(self._pace.wait_seconds),
                )
            )
        return Companion(self.kind, run.moment, None, facts | _facts(taken, folder))


def _facts(taken: Taken, folder: Folder) -> dict[str, Any]:
    run = taken.run
    return {
        "state": "stored" if run.is_whole else "running",
        "backup": run.id,
        "operation": taken.operation,
        "description": run.description,
        "taken_for": taken.taken_for,
        "location": run.location,
        "ended": run.ended.astimezone(UTC).isoformat() if run.ended else None,
        "charged_bytes": run.bytes,
        "skew_seconds": round((run.moment - folder.created).total_seconds(), 3),
    }
