"""`manage.py releases`: what the ledger knows, and the deploy lock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand, seconds

if TYPE_CHECKING:
    from deploy.releases.session import Session


class Command(DeployCommand):
    """list, show, diff, lock, unlock, hold, fail."""

    help = (
        "List releases, show one with its evidence, compare two; "
        "see who holds the deploy lock, break it, hold it."
    )
    examples = (
        "python manage.py releases list",
        "python manage.py releases show 3f2c1ab",
        "python manage.py releases unlock --yes-owner alice@laptop:4242",
        "python manage.py releases hold --command rollout --release 3f2c1ab",
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

        hold = actions.add_parser(
            "hold",
            help="Keep the deploy lock for other processes: prints one JSON line with its token (for their "
            "DEPLOY_LOCK_TOKEN), and gives it back when the line `release` comes in.",
        )
        hold.add_argument("--command", dest="held_for", required=True, help="What it is held for: rollout.")
        hold.add_argument("--release", default="", help="Of which release (default: RELEASE, or the commit).")
        hold.add_argument("--wait-for-lock", type=seconds, default=0, metavar="SECONDS")

        fail = actions.add_parser("fail", help="Record that a release's rollout failed before the switch.")
        fail.add_argument("name")
        fail.add_argument("--step", required=True, help="Where it stopped: pull, start, health, smoke, …")
        fail.add_argument("--reason", required=True, help="Why; the first 2000 characters are kept.")

    def report_to(self, options: dict[str, Any]) -> Any:
        # Standard output has the token's line for the program that started `hold`, and nothing else.
        if options.get("action") != "hold":  # none where the arguments are wrong
            return self.stdout
        self.stderr.style_func = None  # not all of a report is an error
        return self.stderr

    def after_interruption(self, options: dict[str, Any]) -> str:
        if options["action"] == "hold":
            return "The deploy lock expires by itself: python manage.py releases lock"
        return super().after_interruption(options)

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases import inspect
        from deploy.releases.session import Session

        if options["action"] == "hold":
            self._hold(Session.open(conf, release=options["release"]), options)
            return
        session = Session.open(conf)
        self.report.release = session.identity.name
        action = options["action"]
        if action == "fail":
            from deploy.releases.failing import record_failure

            record_failure(
                session, self.report, options["name"], step=options["step"], reason=options["reason"]
            )
            return
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

    def _hold(self, session: Session, options: dict[str, Any]) -> None:
        from deploy.releases.hold import hold

        def say(line: str) -> None:
            self.stdout.write(line)
            self.stdout.flush()

        self.report.release = session.identity.name
        hold(
            session,
            self.report,
            command=options["held_for"],
            wait_seconds=options["wait_for_lock"],
            say=say,
            told=sys.stdin.fileno(),
        )
