"""`manage.py announce`: maintenance and incident notices with an estimated time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """Write, resolve or list notices in the ledger; switch maintenance on and off."""

    help = (
        "Write a notice for users or staff to the ledger, end the notices in force, or list them. With "
        "--maintenance everybody but staff is answered 503 until --resolve."
    )
    examples = (
        'python manage.py announce "Database upgrade" --eta 30m --maintenance',
        "python manage.py announce --resolve",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("text", nargs="?", default="", help="What to say, 1 to 2000 characters.")
        parser.add_argument(
            "--eta", default="", metavar="DURATION", help="Estimated time, such as 30m or 2h."
        )
        parser.add_argument("--audience", choices=["users", "staff"], default="users")
        parser.add_argument(
            "--maintenance", action="store_true", help="Switch maintenance on, with this text and estimate."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and do nothing.")
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument(
            "--resolve", action="store_true", help="Switch maintenance off and end every notice in force."
        )
        choice.add_argument(
            "--list",
            action="store_true",
            dest="only_list",
            help="Show the notices in force, and whether maintenance is on.",
        )

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy.releases import announcing
        from deploy.releases.notices import Draft
        from deploy.releases.session import Session

        if options["resolve"] or options["only_list"]:
            for given, name in (("text", "A text"), ("eta", "--eta"), ("maintenance", "--maintenance")):
                if options[given]:
                    raise CommandError(f"{name} goes with neither --resolve nor --list.")
        session = Session.open(conf)
        self.report.release = session.identity.name
        if options["only_list"]:
            announcing.list_in_force(session, self.report)
        elif options["resolve"]:
            announcing.resolve(session, self.report, dry_run=options["dry_run"])
        else:
            draft = Draft.of(options["text"], eta=options["eta"], audience=options["audience"])
            announcing.announce(
                session,
                self.report,
                draft,
                maintenance=options["maintenance"],
                dry_run=options["dry_run"],
            )
