"""`manage.py predeploy`: prove the release and apply its migrations."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand, seconds


class Command(DeployCommand):
    """preflight, gate, backup, restore drill, rehearsal, static files, migrations, record."""

    help = (
        "Prove this release, then apply its migrations. Run it again after an interruption: it goes on "
        "after the last step that was proved."
    )
    examples = (
        "python manage.py predeploy",
        "RELEASE=$(git rev-parse HEAD) python manage.py predeploy --format json",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--release", default="", help="Name of the release (default: RELEASE, or the commit)."
        )
        parser.add_argument(
            "--wait-for-lock",
            type=seconds,
            default=0,
            metavar="SECONDS",
            help="Wait this long for another deploy to end (default: 0, exit 75 at once).",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Check and judge, say what would be done, and do nothing."
        )
        parser.add_argument(
            "--skip-check",
            action="append",
            default=[],
            metavar="NAME=REASON",
            help="Leave out a preflight check; the reason is recorded. May be repeated.",
        )

    def after_interruption(self, options: dict[str, Any]) -> str:  # noqa: ARG002 – for those that have actions
        return "Run the same command again: it goes on after the last proved step."

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases.predeploy import Predeploy
        from deploy.releases.session import Session

        session = Session.open(conf, release=options["release"])
        self.report.release = session.identity.name
        predeploy = Predeploy(
            session,
            self.report,
            skip_checks=tuple(options["skip_check"]),
            wait_for_lock_seconds=options["wait_for_lock"],
        )
        if options["dry_run"]:
            predeploy.plan()
        else:
            predeploy.run()
