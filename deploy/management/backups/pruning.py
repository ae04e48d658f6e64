"""`backups prune`: the plan, and unless it is a dry run, the deleting."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.reporting.facts import Rows
from deploy.reporting.report import Report, Step

if TYPE_CHECKING:
    from deploy.backup import PrunePlan

_HELP = {
    "keep": "At least so many, whatever their age",
    "days": "All of this many days",
    "daily": "The newest of each of so many days that have one",
    "weekly": "The same of weeks",
    "monthly": "The same of months",
    "yearly": "The same of years",
}


def arguments(parser: CommandParser) -> None:
    """Those of `prune`: one for each rule."""
    for name, text in _HELP.items():
        option = "--keep" if name == "keep" else f"--keep-{name}"
        key = option[2:].replace("-", "_").upper()
        parser.add_argument(
            option,
            dest=name,
            type=int,
            default=None,
            metavar="N",
            help=f"{text} (default: DEPLOY['BACKUP_{key}']).",
        )
    parser.add_argument("--dry-run", action="store_true", help="Say what would go and why; delete nothing.")


def run(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """Steps `plan` and `prune`, the second under the deploy lock."""
    from deploy import backup
    from deploy.releases.pruning import plan_for
    from deploy.releases.session import Session

    policy = _policy(conf, options)
    session = Session.open(conf)

    def plan() -> PrunePlan:
        with report.step("plan") as step:
            made = plan_for(session, step, policy)
            show(made, step)
        return made

    if options["dry_run"]:
        plan()
        return
    with session.locked(report, "backups prune") as guard:
        decided = plan()
        with report.step("prune") as step:
            step.facts.update(backup.apply_prune(conf, session.bucket, decided, guard=guard, step=step))


def show(plan: PrunePlan, step: Step) -> None:
    """The plan as facts; for people those that go come first, each by its moment."""
    facts = plan.as_dict()
    rows = facts.pop("decisions")
    shown = [
        {
            "": "delete" if row["goes"] else "keep",
            "backup": row["backup"].partition("-")[0],
            "age_seconds": row["age_seconds"],
            "size_bytes": row["stored_bytes"],
            "why": row["why"],
        }
        for row in sorted(rows, key=lambda row: not row["goes"])
    ]
    delete = facts.pop("delete")
    step.facts.update(
        backups=len(rows),
        to_delete=len(delete),
        **facts,
        decisions=Rows(rows, shown=shown),
        delete=Rows(delete, shown=()),
    )


def _policy(conf: DeployConf, options: dict[str, Any]) -> Any:
    from deploy import backup
    from deploy.management.command import USAGE
    from deploy.reporting.findings import Refusal

    given = {field.name: options[field.name] for field in fields(backup.Policy)}
    for name, value in given.items():
        least = 1 if name == "keep" else 0
        if value is not None and value < least:
            option = "--keep" if name == "keep" else f"--keep-{name}"
            message = f"{option} is {value}, and must be at least {least}."
            raise Refusal(USAGE(message=message, command="backups prune"))
    return backup.Policy.of(conf.backup, **given)
