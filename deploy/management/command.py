"""The base of every `deploy` command: parse, call, render, exit code. Nothing prints on its own."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, handle_default_options
from django.db import InterfaceError, OperationalError, connections

from deploy import conf as configuration
from deploy.buckets.base import BucketError
from deploy.conf import DeployConf
from deploy.databases.drivers import missing
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.output import Output
from deploy.reporting.redaction import redact
from deploy.reporting.renderers import DOCUMENTS, FORMATS, Renderer, choose
from deploy.reporting.report import EXIT_USAGE, Report, Step

from .interruption import Interrupted, signals_raise
from .places import entry_point, locate_in

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
    "{then}",
)
SETTINGS = FindingType(
    "deploy.R004",
    "error",
    "The project's settings can't be used: {text}",
    "Correct the settings, then: python manage.py check",
)
ENVIRONMENT = FindingType(
    "deploy.R005",
    "error",
    "The {what} did not do what {command} asked: {text}",
    "python manage.py preflight",
    why="A database or bucket that is down is not a fault of the release; preflight says which part it is.",
)

_LONGEST_TEXT = 500


class DeployCommand(BaseCommand):
    """Subclasses define `arguments` and `work`; findings, rendering and exit codes are done here.

    `work` raises `Refusal` to stop with findings; its steps go into `self.report`. Ends with SystemExit
    when the exit code is not 0, from the command line and from `call_command` alike.
    """

    requires_system_checks: list[str] = []  # preflight runs them, as findings
    requires_migrations_checks = False

    report: Report

    def arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        """Do the command's job, recording steps in `self.report`."""
        raise NotImplementedError  # abstract: every command has its own

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        _add_format(parser, default="auto")
        self.arguments(parser)
        # `migrategate check --format json` is as good as `migrategate --format json check`.
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for subparser in action.choices.values():
                    _add_format(subparser, default=argparse.SUPPRESS)
                    subparser.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS)

    def report_to(self, options: dict[str, Any]) -> Any:  # noqa: ARG002 – for those that have actions
        """The stream that the report is written to."""
        return self.stdout

    def after_interruption(self, options: dict[str, Any]) -> str:  # noqa: ARG002 – for those that have actions
        """What to do when a signal ended it; a command that goes on where it stopped says so."""
        return "Run the same command again."

    @property
    def command_name(self) -> str:
        """`predeploy` of `deploy.management.commands.predeploy`."""
        return type(self).__module__.rpartition(".")[2]

    def run_from_argv(self, argv: list[str]) -> None:
        """Django's own, but a mistake in the arguments is a finding in the format that was asked for."""
        try:
            # The parser is not told that this is a command line: then it raises instead of printing usage.
            parser = self.create_parser(argv[0], argv[1])
            options = vars(parser.parse_args(argv[2:]))
            handle_default_options(argparse.Namespace(**options))
            self.execute(*options.pop("args", ()), **options)
        except CommandError as error:
            self._refuse_usage(error, argv[2:])
        finally:
            with suppress(ImproperlyConfigured):  # settings without databases have no connections to close
                connections.close_all()

    def handle(self, *_args: Any, **options: Any) -> None:
        """Load the configuration, run `work`, render the report, exit."""
        conf, refusals = _read_configuration()
        renderer = self._renderer(options, conf)
        self.report = Report(self.command_name, release=conf.release if conf else None, listener=renderer)
        quiet = redirect_stdout(sys.stderr) if options["output_format"] in DOCUMENTS else nullcontext()
        code: int | None = EXIT_USAGE
        try:
            with signals_raise(), quiet:
                self.work(_usable(conf, refusals), options)
            code = None
        except Refusal as refusal:
            self._record(*refusal.findings)
            code = refusal.exit_code
        except CommandError as error:
            self._record(USAGE(command=self.command_name, message=_one_line(error)))
        except (Interrupted, KeyboardInterrupt) as event:
            number = event.number if isinstance(event, Interrupted) else signal.SIGINT
            name, then = signal.Signals(number).name, self.after_interruption(options)
            self._record(INTERRUPTED(command=self.command_name, signal=name, then=then))
            code = Interrupted(number).exit_code
        except Exception as error:  # noqa: BLE001 – nothing is swallowed: it becomes a finding and exit 2
            self._record(self._explain(error))
            if options.get("traceback"):
                self.stderr.write(redact(traceback.format_exc()))
        finally:
            self.report.finish(code)
            renderer.finish(self.report)
        if self.report.exit_code:
            sys.exit(self.report.exit_code)

    def _explain(self, error: Exception) -> Finding:
        name, text = self.command_name, _one_line(error)
        if isinstance(error, ImproperlyConfigured):
            return SETTINGS(text=text)
        if isinstance(error, (OperationalError, InterfaceError, *_driver_errors())):
            return ENVIRONMENT(what="database", command=name, text=text)
        if isinstance(error, BucketError):
            return ENVIRONMENT(what="bucket", command=name, text=text)
        return UNEXPECTED(command=name, kind=type(error).__name__, text=text)

    def _record(self, *findings: Finding) -> None:
        """Put what is not in a step yet into one of its own, called `command`."""
        if new := [finding for finding in findings if finding not in self.report.findings]:
            self.report.add_step(Step("command", findings=new))

    def _renderer(self, options: dict[str, Any], conf: DeployConf | None) -> Renderer:
        return choose(
            options["output_format"],
            Output(_Raw(self.report_to(options))),
            github=bool(conf and conf.github_actions),
            summary_path=Path(conf.github_step_summary) if conf and conf.github_step_summary else None,
            color=not options.get("no_color"),
            locate=locate_in(conf),
            fallback=entry_point(conf),
        )

    def _refuse_usage(self, error: CommandError, arguments: Sequence[str]) -> None:
        """Report a mistake in the arguments, which nothing else of the command line can be trusted after."""
        asked = argparse.ArgumentParser(add_help=False, exit_on_error=False)
        asked.add_argument("--format", dest="output_format", default="auto")
        try:
            name = asked.parse_known_args(arguments)[0].output_format
        except argparse.ArgumentError:
            name = "auto"
        conf, _ = _read_configuration()
        renderer = self._renderer({"output_format": name if name in FORMATS else "auto"}, conf)
        self.report = Report(self.command_name, release=conf.release if conf else None, listener=renderer)
        message = _one_line(error).removeprefix("Error: ")
        self._record(USAGE(command=self.command_name, message=f"{message[:1].upper()}{message[1:]}"))
        self.report.finish(EXIT_USAGE)
        renderer.finish(self.report)
        sys.exit(EXIT_USAGE)


def seconds(text: str) -> float:
    """An argument's type: a finite number of seconds, not negative."""
    value = float(text)
    if not 0 <= value < float("inf"):  # nan is neither: a wait for it would never end
        raise ValueError(text)
    return value


class _Raw:
    """Django's OutputWrapper without the newline that it appends."""

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        self.encoding = getattr(wrapper, "encoding", None)

    def write(self, text: str, /) -> None:
        self._wrapper.write(text, ending="")

    def flush(self) -> None:
        self._wrapper.flush()

    def isatty(self) -> bool:
        return bool(self._wrapper.isatty())

    def fileno(self) -> int:
        return int(self._wrapper.fileno())


def _driver_errors() -> tuple[type[Exception], ...]:
    """The same of connections that are psycopg's own; none as long as nothing has needed the driver."""
    driver = sys.modules.get("psycopg")
    return (driver.OperationalError, driver.InterfaceError) if driver else ()


def _add_format(parser: argparse.ArgumentParser, *, default: str) -> None:
    parser.add_argument(
        "--format",
        dest="output_format",
        choices=FORMATS,
        default=default,
        help="How to report; auto: terminal, plain when not a terminal, github in GitHub Actions.",
    )


def _read_configuration() -> tuple[DeployConf | None, list[Finding]]:
    try:
        return configuration.read()
    except ImproperlyConfigured as error:
        return None, [SETTINGS(text=_one_line(error))]


def _usable(conf: DeployConf | None, refusals: list[Finding]) -> DeployConf:
    if missing():
        raise Refusal(*missing())
    if conf is None or refusals:
        raise Refusal(*refusals)
    return conf


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
