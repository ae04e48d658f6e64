"""`manage.py preflight`: every check, in parallel, none of them changing anything."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import DeployCommand
from deploy.preflight import Check, available_checks, run_checks


class Command(DeployCommand):
    help = "Check everything that a release needs, in parallel, without changing anything."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fast", action="store_true", help="Only the checks fit for the start hook.")
        parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="Only these checks.")
        parser.add_argument(
            "--skip", nargs="+", default=[], metavar="NAME=REASON", help="Skip these; the reason is recorded."
        )
        parser.add_argument("--list", action="store_true", help="What is checked; nothing is run.")

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        checks = _checks(options)
        if options["list"]:
            with self.report.step("checks") as step:
                step.facts.update({check.name: check.looks_at for check in checks})
            return
        # Shown as they finish, recorded in their order: two runs' reports can be compared.
        self.report.steps = run_checks(
            conf,
            checks=checks,
            fast=options["fast"],
            only=options["only"],
            skip=options["skip"],
            on_finished=self.report.add_step,
        )


def _checks(options: dict[str, Any]) -> tuple[Check, ...]:
    """Every check. A container's start doesn't even import the one that asks the ledger, which isn't fast."""
    if options["fast"] and not options["list"] and not options["only"] and not options["skip"]:
        return available_checks()
    from deploy.releases.backed_up import BackupCheck, BackupKeyCheck

    return (*available_checks(), BackupCheck(), BackupKeyCheck())
