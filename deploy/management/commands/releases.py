"""`manage.py releases`: what the ledger knows, and the deploy lock."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """list, show, diff, lock, unlock."""

    help = "List releases, show one with its evidence, compare two, see who holds the lock, or break it."
    examples = (
        "python manage.py releases list",
        "python manage.py releases show 3f2c1ab",
        "python manage.py releases unlock --yes-owner alice@laptop:4242",
    )

    def arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="The releases, newest first.")
        listing.add_argument("--limit", type=int, default=20)
        show = actions.add_parser("show", help="One release with its evidence.")
        show.add_argument("name")
        diff = actions.add_parser("diff", help="What differs between two releases.")
        diff.add_argument("old")
        diff.add_argument("new")
        actions.add_parser("lock", help="Who holds the deploy lock.")
        unlock = actions.add_parser("unlock", help="Break the lock of a deployer that is surely dead.")
        unlock.add_argument(
            "--yes-owner", default="", metavar="OWNER", help="The owner as `releases lock` names it."
        )

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases import inspect
        from deploy.releases.session import Session

        session = Session.open(conf)
        self.report.release = session.identity.name
        action = options["action"]
        with self.report.step(f"releases {action}") as step:
            match action:
                case "list":
                    inspect.list_releases(session, step, limit=options["limit"])
                case "show":
                    inspect.show_release(session, step, options["name"])
                case "diff":
                    inspect.diff_releases(session, step, options["old"], options["new"])
                case "lock":
                    inspect.show_lock(session, step)
                case "unlock":
                    inspect.unlock(session, step, owner=options["yes_owner"])
