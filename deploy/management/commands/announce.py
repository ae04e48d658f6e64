"""`manage.py announce`: maintenance and incident notices with an estimated time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """Write, resolve or list notices in the ledger."""

    help = "Write a notice for users or staff to the ledger, end the notices in force, or list them."
    examples = (
        'python manage.py announce "Database upgrade" --eta 30m',
        "python manage.py announce --resolve",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("text", nargs="?", default="", help="What to say, 1 to 2000 characters.")
        parser.add_argument(
            "--eta", default="", metavar="DURATION", help="Estimated time, such as 30m or 2h."
        )
        parser.add_argument("--audience", choices=["users", "staff"], default="users")
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--resolve", action="store_true", help="End every notice in force.")
        choice.add_argument(
            "--list", action="store_true", dest="only_list", help="Show the notices in force."
        )

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases import notices
        from deploy.releases.session import Session

        if options["text"] and (options["resolve"] or options["only_list"]):
            raise CommandError("A text goes with neither --resolve nor --list.")
        session = Session.open(conf)
        release = self.report.release = session.identity.name
        with self.report.step("notices") as step:
            if options["only_list"]:
                shown = notices.in_force(session.ledger)
            elif options["resolve"]:
                shown = notices.resolve(session.ledger, release=release)
                step.facts["resolved"] = len(shown)
            else:
                shown = [
                    notices.announce(
                        session.ledger,
                        options["text"],
                        eta=options["eta"],
                        audience=options["audience"],
                        release=release,
                    )
                ]
            step.facts["notices"] = [
                {
                    "number": notice.number,
                    "text": notice.text,
                    "audience": notice.audience,
                    "since": notice.since.isoformat(timespec="seconds"),
                    "expected_end": notice.expected_end.isoformat(timespec="seconds")
                    if notice.expected_end
                    else None,
                    "by": notice.by,
                }
                for notice in shown
            ]
