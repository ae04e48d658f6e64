"""`manage.py backups`: list, show, verify and prune them, and say how old the newest is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.backups import aging, configuration, firestore, listing, media, proving, pruning
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """list, show, verify, prune, age; each in a module of `deploy.management.backups`."""

    help = "List the backups of this database, show or verify one, prune old ones, tell the newest one's age."
    examples = (
        "python manage.py backups list",
        "python manage.py backups show latest",
        "python manage.py backups verify latest --grade L2",
        "python manage.py backups prune --dry-run",
        "python manage.py backups age --max 26h",
        "python manage.py backups configuration latest --diff",
        "python manage.py backups media latest --bring-back --dry-run",
        "python manage.py backups firestore latest --restore-into my-project/restored --dry-run",
    )

    def arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing.list_arguments(actions.add_parser("list", help="Newest first: age, grade, size, engine."))
        listing.show_arguments(actions.add_parser("show", help="All that one's manifest says."))
        proving.arguments(actions.add_parser("verify", help="Prove one to a grade, and record it."))
        pruning.arguments(actions.add_parser("prune", help="Delete what no rule of retention keeps."))
        aging.arguments(actions.add_parser("age", help="Exit code 1 when the newest is too old, or none."))
        firestore.arguments(actions.add_parser("firestore", help="Firestore beside it, and its way back."))
        configuration.arguments(actions.add_parser("configuration", help="What was kept beside the data."))
        media.arguments(actions.add_parser("media", help="Are its files there? Bring back what isn't."))

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        match options["action"]:
            case "list":
                listing.run_list(conf, self.report, options)
            case "show":
                listing.run_show(conf, self.report, options)
            case "verify":
                proving.run(conf, self.report, options)
            case "prune":
                pruning.run(conf, self.report, options)
            case "age":
                aging.run(conf, self.report, options, self.stderr.write)
            case "firestore":
                firestore.run(conf, self.report, options)
            case "configuration":
                configuration.run(conf, self.report, options)
            case "media":
                media.run(conf, self.report, options)
