"""`manage.py backups`: list them, verify one, prune the old."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand
from deploy.management.firestore_action import add_firestore, run_firestore


class Command(DeployCommand):
    """list, verify, prune."""

    help = "List the backups of this database, verify one from its first byte to its last, or prune old ones."
    examples = (
        "python manage.py backups list",
        "python manage.py backups verify latest",
        "python manage.py backups prune --keep 14 --dry-run",
    )

    def arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="Newest first, with age, size and release.")
        listing.add_argument("--from-environment", default=None, metavar="ENVIRONMENT")
        verify = actions.add_parser("verify", help="Read the archive: SHA-256, sizes, every frame.")
        verify.add_argument("backup", metavar="ID", help="A backup's id, or latest.")
        prune = actions.add_parser("prune", help="Delete all but the newest, and those a release stands on.")
        prune.add_argument(
            "--keep", type=int, default=None, metavar="N", help="Default: DEPLOY['BACKUP_KEEP']."
        )
        prune.add_argument(
            "--dry-run", action="store_true", help="Say what would go and why; delete nothing."
        )
        add_firestore(actions)

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        match options["action"]:
            case "list":
                self._list(conf, options["from_environment"])
            case "verify":
                self._verify(conf, options["backup"])
            case "prune":
                self._prune(conf, options["keep"], dry_run=options["dry_run"])
            case "firestore":
                run_firestore(conf, options, self.report)

    def _list(self, conf: DeployConf, environment: str | None) -> None:
        from deploy import backup
        from deploy.buckets import open_bucket

        with self.report.step("backups list") as step:
            catalog = backup.scan(conf, open_bucket(conf.bucket), environment=environment)
            step.extend(catalog.unreadable)
            step.facts["backups"] = [
                {
                    "backup": manifest.id,
                    "created": manifest.created.isoformat(),
                    "age_seconds": round(manifest.age_seconds),
                    "release": manifest.release,
                    "raw_bytes": manifest.raw_bytes,
                    "stored_bytes": manifest.stored_bytes,
                    "tables": len(manifest.tables),
                    "rows": sum(manifest.tables.values()),
                    "engine": f"{manifest.engine} {manifest.server_version}",
                }
                for manifest in catalog.manifests
            ]
            step.facts["unfinished"] = [info.name for info in catalog.unfinished]

    def _verify(self, conf: DeployConf, backup_id: str) -> None:
        from deploy import backup
        from deploy.buckets import open_bucket

        bucket = open_bucket(conf.bucket)
        with self.report.step("backups verify") as step:
            manifest = backup.read_manifest(conf, bucket, backup_id)
            step.facts.update(backup.verify(bucket, manifest, step=step))

    def _prune(self, conf: DeployConf, keep: int | None, *, dry_run: bool) -> None:
        from deploy import backup
        from deploy.management.command import USAGE
        from deploy.releases.postdeploy import pinned_backups
        from deploy.releases.session import Session
        from deploy.reporting.findings import Refusal

        if keep is not None and keep < 1:
            raise Refusal(
                USAGE(message=f"--keep is {keep}, and must be at least 1.", command="backups prune")
            )
        session = Session.open(conf)

        def plan() -> backup.PrunePlan:
            catalog = backup.scan(conf, session.bucket)
            with self.report.step("plan") as step:
                made = backup.plan_prune(
                    conf,
                    catalog.manifests,
                    keep or conf.backup.keep,
                    pinned_backups(session),
                    unfinished=catalog.unfinished,
                )
                step.extend(catalog.unreadable)
                step.facts.update(made.as_dict())
            return made

        if dry_run:
            plan()
            return
        with session.locked(self.report, "backups prune") as guard:
            decided = plan()
            with self.report.step("prune") as step:
                step.facts.update(backup.apply_prune(conf, session.bucket, decided, guard=guard, step=step))
