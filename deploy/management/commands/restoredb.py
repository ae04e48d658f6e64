"""`manage.py restoredb`: bring a backup back, beside the live database or in its place."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """plan, restore, swap."""

    help = (
        "Restore a backup into a new database, compare it with its manifest, and swap it in for the live "
        "one, which is kept under another name."
    )
    examples = (
        "python manage.py restoredb latest --dry-run",
        "python manage.py restoredb 20261123T131850123Z-v1-3f2c1a --yes-replace optifit",
        "python manage.py restoredb latest --into optifit_look",
        "python manage.py restoredb --drop-old optifit_before_20261123T131850",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", nargs="?", default="", metavar="ID", help="A backup's id, or latest.")
        way = parser.add_mutually_exclusive_group()
        way.add_argument(
            "--yes-replace",
            default=None,
            metavar="NAME",
            help="The live database's name: replace it without asking.",
        )
        way.add_argument(
            "--into", default="", metavar="NAME", help="Restore into this new database; no swap."
        )
        way.add_argument(
            "--drop-old",
            default="",
            metavar="NAME",
            help="Drop a database that an earlier restore put aside.",
        )
        parser.add_argument(
            "--from-environment",
            default=None,
            metavar="ENVIRONMENT",
            help="Take another environment's backup.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done; change nothing.")

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.management.command import USAGE
        from deploy.reporting.findings import Refusal

        if bool(options["backup"]) == bool(options["drop_old"]):
            message = "Name a backup (or latest), or a database with --drop-old, and not both."
            raise Refusal(USAGE(message=message, command="restoredb"))
        if options["drop_old"]:
            self._drop_old(conf, options["drop_old"], dry_run=options["dry_run"])
        elif options["into"]:
            self._into(conf, options)
        else:
            self._replace(conf, options)

    def _replace(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.releases.session import Session

        session = Session.open(conf)
        with self.report.step("plan") as step:
            manifest = backup.read_manifest(
                conf, session.bucket, options["backup"], environment=options["from_environment"]
            )
            plan = backup.plan_replace(conf, manifest)
            step.facts.update(plan.as_dict())
        if options["dry_run"]:
            return
        # Outside a step: in a terminal the live view of a running one would paint over the question.
        self._confirm(plan.live, manifest.id, options["yes_replace"])
        with session.locked(self.report, "restoredb") as guard, self.report.step("restore") as step:
            backup.drop_stale_scratch(conf)
            step.facts.update(
                backup.replace_database(conf, session.bucket, manifest, guard=guard, step=step, plan=plan)
            )

    def _confirm(self, live: str, backup_id: str, given: str | None) -> None:
        from deploy.backup.findings import NOT_CONFIRMED
        from deploy.reporting.findings import Refusal

        said = f"--yes-replace said {given!r}"
        if given is None and not sys.stdin.isatty():
            said = "there is no terminal to ask at"
        elif given is None:
            # Plain: Django's own style for errors is red, whatever NO_COLOR says.
            self.stderr.write(f"Backup {backup_id} will replace the database {live!r}.", str)
            self.stderr.write("Type the database's name to go on: ", str, ending="")
            self.stderr.flush()
            given = sys.stdin.readline().strip()
            said = f"{given!r} was typed"
        if given != live:
            raise Refusal(NOT_CONFIRMED(database=live, id=backup_id, given=said))

    def _into(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.buckets import open_bucket

        bucket = open_bucket(conf.bucket)
        with self.report.step("plan") as step:
            manifest = backup.read_manifest(
                conf, bucket, options["backup"], environment=options["from_environment"]
            )
            step.facts.update(backup=manifest.id, source=str(manifest.identity), new=options["into"])
        if options["dry_run"]:
            return
        with self.report.step("restore") as step:
            step.facts.update(backup.restore_beside(conf, bucket, manifest, name=options["into"], step=step))

    def _drop_old(self, conf: DeployConf, name: str, *, dry_run: bool) -> None:
        from deploy import backup
        from deploy.releases.session import Session

        if dry_run:
            with self.report.step("plan") as step:
                step.facts["drop"] = backup.require_replaced(conf, name)
            return
        session = Session.open(conf)
        with session.locked(self.report, "restoredb") as guard, self.report.step("drop") as step:
            backup.drop_replaced(conf, name, guard=guard)
            step.facts["dropped"] = name
