"""`manage.py postdeploy`: record the release as live and finish what had to wait for the switch."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand, seconds


class Command(DeployCommand):
    """live, contract migrations, prune."""

    help = "After the switch: record the release as live, apply its contract migrations, prune old backups."
    examples = ("RELEASE=$(git rev-parse HEAD) python manage.py postdeploy",)

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--release", default="", help="Name of the release (default: RELEASE, or the commit)."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")
        parser.add_argument("--wait-for-lock", type=seconds, default=0, metavar="SECONDS")

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases.postdeploy import Postdeploy
        from deploy.releases.session import Session

        session = Session.open(conf, release=options["release"])
        self.report.release = session.identity.name
        postdeploy = Postdeploy(session, self.report, wait_for_lock_seconds=options["wait_for_lock"])
        if options["dry_run"]:
            postdeploy.plan()
        else:
            postdeploy.run()
