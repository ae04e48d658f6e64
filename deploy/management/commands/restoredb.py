"""`manage.py restoredb`: bring a backup back, beside the live database or in its place, and back again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from shlex import quote
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand, seconds

if TYPE_CHECKING:
    from deploy.releases.session import Session


class Command(DeployCommand):
    """plan, then restore and swap, or swap back, drop, list."""

    help = (
        "Restore a backup into a new database, compare it with its manifest, and swap it in for the live "
        "one, which is kept under another name and can be swapped back."
    )
    examples = (
        "python manage.py restoredb latest --dry-run",
        "python manage.py restoredb 20261123T131850123Z-v1-3f2c1a --yes-replace optifit",
        "python manage.py restoredb latest --into optifit_look",
        "python manage.py restoredb latest --table shop_order --into-schema look_20261125",
        "python manage.py restoredb --list-kept",
        "python manage.py restoredb --swap-back optifit_before_20261123T131850 --yes-replace optifit",
        "python manage.py restoredb --drop-old optifit_before_20261123T131850",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", nargs="?", default="", metavar="ID", help="A backup's id, or latest.")
        parser.add_argument(
            "--yes-replace",
            default=None,
            metavar="NAME",
            help="The live database's name: replace it without asking.",
        )
        way = parser.add_mutually_exclusive_group()
        way.add_argument(
            "--into", default="", metavar="NAME", help="Restore into this new database; no swap."
        )
        way.add_argument(
            "--into-schema",
            default="",
            metavar="SCHEMA",
            help="Restore only the tables of --table, into this new schema of the live database "
            "(SQLite: into a new file beside it).",
        )
        way.add_argument(
            "--swap-back",
            default="",
            metavar="NAME",
            help="Make a database that an earlier restore put aside the live one again.",
        )
        way.add_argument(
            "--drop-old",
            default="",
            metavar="NAME",
            help="Drop a database that an earlier restore put aside.",
        )
        way.add_argument(
            "--list-kept", action="store_true", help="List the databases that restores put aside."
        )
        parser.add_argument(
            "--table",
            action="append",
            default=[],
            metavar="TABLE",
            help="With --into-schema: a table to bring back, as the manifest names it or without its schema. "
            "Can be given several times.",
        )
        parser.add_argument(
            "--from-environment",
            default=None,
            metavar="ENVIRONMENT",
            help="Take another environment's backup.",
        )
        parser.add_argument("--wait-for-lock", type=seconds, default=0, metavar="SECONDS")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done; change nothing.")

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        _require_sense(options)
        if options["list_kept"]:
            self._list_kept(conf)
        elif options["swap_back"]:
            self._swap_back(conf, options)
        elif options["drop_old"]:
            self._drop_old(conf, options)
        elif options["into"]:
            self._into(conf, options)
        elif options["into_schema"]:
            self._into_schema(conf, options)
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
            # Not after the question, nor halfway: is the key here?
            step.extend(backup.require_readable(conf, manifest))
            plan = backup.plan_replace(conf, manifest)
            step.facts.update(plan.as_dict())
        if options["dry_run"]:
            return
        what, given = f"Backup {manifest.id}", options["yes_replace"]
        self._confirm(plan.live, what, manifest.id, given, users=plan.connections)
        with self._locked(session, options) as guard, self.report.step("restore") as step:
            backup.drop_stale_scratch(conf)
            with backup.failures_recorded(conf, session.bucket, manifest, "L2", step=step, guard=guard):
                step.facts.update(
                    backup.replace_database(conf, session.bucket, manifest, guard=guard, step=step, plan=plan)
                )

    def _swap_back(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.releases.session import Session

        session = Session.open(conf)
        with self.report.step("plan") as step:
            plan = backup.plan_swap_back(conf, options["swap_back"])
            step.facts.update(plan.as_dict())
        if options["dry_run"]:
            return
        what, again = f"The kept database {plan.kept!r}", f"--swap-back {quote(plan.kept)}"
        self._confirm(plan.live, what, again, options["yes_replace"], users=plan.connections)
        with self._locked(session, options) as guard, self.report.step("swap back") as step:
            step.facts.update(backup.swap_back(conf, plan, guard=guard, step=step))

    def _locked(
        self, session: Session, options: dict[str, Any]
    ) -> AbstractContextManager[Callable[[], None]]:
        return session.locked(self.report, "restoredb", wait_seconds=options["wait_for_lock"])

    def _confirm(self, live: str, what: str, arguments: str, given: str | None, *, users: int) -> None:
        """Have the live database's name typed. Outside a step, whose live view would paint over it."""
        from deploy.backup.findings import NOT_CONFIRMED
        from deploy.reporting.findings import Refusal

        said = f"--yes-replace said {given!r}"
        if given is None and not sys.stdin.isatty():
            said = "there is no terminal to ask at"
        elif given is None:
            # Plain: Django's own style for errors is red, whatever NO_COLOR says.
            self.stderr.write(f"{what} will replace the database {live!r}.", str)
            if users:
                ended = f"Connections to it, {users} now, are ended at once"
                self.stderr.write(f"{ended}; what they have not committed is lost.", str)
            self.stderr.write("Type the database's name to go on: ", str, ending="")
            self.stderr.flush()
            given = sys.stdin.readline().strip()
            said = f"{given!r} was typed"
        if given != live:
            raise Refusal(NOT_CONFIRMED(database=live, id=arguments, given=said))

    def _into(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.buckets import open_bucket

        bucket = open_bucket(conf.bucket)
        with self.report.step("plan") as step:
            manifest = backup.read_manifest(
                conf, bucket, options["backup"], environment=options["from_environment"]
            )
            step.extend(backup.require_readable(conf, manifest))
            new = backup.require_new(conf, options["into"])
            step.facts.update(backup=manifest.id, source=str(manifest.identity), new=new)
        if options["dry_run"]:
            return
        with (
            self.report.step("restore") as step,
            backup.failures_recorded(conf, bucket, manifest, "L2", step=step),
        ):
            step.facts.update(backup.restore_beside(conf, bucket, manifest, name=options["into"], step=step))

    def _into_schema(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.buckets import open_bucket

        bucket = open_bucket(conf.bucket)
        with self.report.step("plan") as step:
            manifest = backup.read_manifest(
                conf, bucket, options["backup"], environment=options["from_environment"]
            )
            step.extend(backup.require_readable(conf, manifest))
            plan = backup.plan_tables(conf, manifest, options["table"], beside=options["into_schema"])
            step.facts.update(plan.as_dict())
        if options["dry_run"]:
            return
        with (
            self.report.step("restore") as step,
            backup.failures_recorded(conf, bucket, manifest, "L2", step=step),
        ):
            step.facts.update(backup.restore_tables(conf, bucket, manifest, plan, step=step))

    def _drop_old(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.releases.session import Session

        name = options["drop_old"]
        if options["dry_run"]:
            with self.report.step("plan") as step:
                step.facts["drop" if backup.is_kept(conf, name) else "was_not_there"] = name
            return
        session = Session.open(conf)
        with self._locked(session, options) as guard, self.report.step("drop") as step:
            there = backup.drop_replaced(conf, name, guard=guard)
            step.facts["dropped" if there else "was_not_there"] = name

    def _list_kept(self, conf: DeployConf) -> None:
        from deploy import backup

        with self.report.step("kept databases") as step:
            kept = [one.as_dict() for one in backup.list_kept(conf)]
            step.facts.update(count=len(kept), kept=kept)


def _require_sense(options: dict[str, Any]) -> None:
    """Refuse (deploy.R002) what argparse can't: which arguments go together."""
    from deploy.management.command import USAGE
    from deploy.reporting.findings import Refusal

    message = ""
    no_backup = options["drop_old"] or options["swap_back"] or options["list_kept"]
    if bool(options["backup"]) == bool(no_backup):
        message = (
            "Name a backup (or latest), or one of --swap-back, --drop-old and --list-kept, and not both."
        )
    elif bool(options["table"]) != bool(options["into_schema"]):
        message = "--table and --into-schema go together: these tables, into that schema."
    elif options["yes_replace"] is not None and (
        options["into"] or options["into_schema"] or options["drop_old"] or options["list_kept"]
    ):
        message = "--yes-replace is for what replaces the live database: a whole backup, or --swap-back."
    if message:
        raise Refusal(USAGE(message=message, command="restoredb"))
