"""The base of every `deploy` command: parse, call, render, exit code. Nothing prints on its own."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deploy import conf as configuration
from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import EXIT_USAGE, Report

UNEXPECTED = FindingType(
    "deploy.R001",
    "error",
    "{command} stopped on an unexpected {kind}: {text}",
    "Run it again with --traceback and report what it says.",
)
USAGE = FindingType("deploy.R002", "error", "{message}", "python manage.py {command} --help")
INTERRUPTED = FindingType(
    "deploy.R003",
    "error",
    "{command} was interrupted by {signal}.",
    "Run the same command again: it goes on after the last proved step.",
)


class DeployCommand(BaseCommand):
    """Subclasses define `arguments` and `work`; findings, rendering and exit codes are done here.

    `work` raises `Refusal` to stop with findings; its steps go into `self.report`.
    """

    requires_system_checks: list[str] = []  # type: ignore[assignment]  # preflight runs them, as findings
    requires_migrations_checks = False

    report: Report

    def arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        """Do the command's job, recording steps in `self.report`."""
        raise NotImplementedError  # abstract: every command has its own

    # The rest is completed by deploy.reporting's renderers.
    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument(
            "--format",
            dest="output_format",
            choices=["auto", "terminal", "plain", "json", "junit", "github"],
            default="auto",
            help="How to report; auto: terminal, plain when not a terminal, github in GitHub Actions.",
        )
        self.arguments(parser)

    @property
    def command_name(self) -> str:
        """`predeploy` of `deploy.management.commands.predeploy`."""
        return type(self).__module__.rpartition(".")[2]
