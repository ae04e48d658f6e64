"""`manage.py rollback`: back to an earlier release, by the way that predeploy proved."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand, seconds


class Command(DeployCommand):
    """plan, maintenance and database (reverse or restore), switch, record."""

    help = (
        "Go back to the release that was live before (or --to NAME): abandon, switch, reverse migrations or "
        "restore, as the ledger's evidence allows. --dry-run prints the plan."
    )
    examples = (
        "python manage.py rollback --dry-run",
        'python manage.py rollback --reason "5xx ratio above 1 %"',
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to", default="", metavar="RELEASE", help="Default: the one that was live before."
        )
        parser.add_argument(
            "--release",
            default="",
            help="Name of the release that is to go (default: the one that is prepared or live). With it, "
            "running the command twice goes back once.",
        )
        parser.add_argument("--reason", default="", help="Why; recorded in the ledger.")
        parser.add_argument("--dry-run", action="store_true", help="Print the plan and change nothing.")
        parser.add_argument(
            "--yes-restore",
            default="",
            metavar="RELEASE",
            help="Confirm with the name of the release that goes that a backup may replace the database, and "
            "what was written since is lost.",
        )
        parser.add_argument(
            "--stage",
            choices=("all", "database", "record"),
            default="all",
            help="Only one part, for a rollout that moves the traffic itself between the two.",
        )
        parser.add_argument("--wait-for-lock", type=seconds, default=0, metavar="SECONDS")

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases.rollback import Rollback
        from deploy.releases.session import Session

        session = Session.open(conf)
        self.report.release = session.identity.name
        Rollback(
            session,
            self.report,
            to=options["to"],
            release=options["release"],
            reason=options["reason"],
            yes_restore=options["yes_restore"],
            dry_run=options["dry_run"],
            stage=options["stage"],
            wait_for_lock_seconds=options["wait_for_lock"],
        ).run()
