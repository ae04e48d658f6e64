"""`manage.py migrategate`: judge, rehearse, run and await migrations."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import UNKNOWN_DATABASE, DeployConf
from deploy.management.command import DeployCommand, seconds
from deploy.reporting.findings import Refusal
from deploy.reporting.report import EXIT_REFUSED, Step


class Command(DeployCommand):
    """check, rehearse, apply, wait."""

    help = "Decide whether the pending migrations may run, and run them without stopping the traffic."
    examples = (
        "python manage.py migrategate check",
        "python manage.py migrategate check --since origin/main   # no database: what this branch adds",
        "python manage.py migrategate check --all   # no database: each migration as a release of its own",
        "python manage.py restoredb latest --into deploy_scratch_look",
        "python manage.py migrategate rehearse --scratch deploy_scratch_look",
        "python manage.py migrategate rehearse --schema-only   # the data is too large to copy",
        "python manage.py migrategate apply --phase expand",
        "python manage.py migrategate wait --timeout 120",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["check", "rehearse", "apply", "wait"])
        parser.add_argument("--alias", default="", help="Database to work on (default: DEPLOY['DATABASE']).")
        parser.add_argument(
            "--deployed-from-database",
            action="store_true",
            help="Take the applied migrations for the deployed code's, instead of asking the ledger.",
        )
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument(
            "--all", action="store_true", help="check: judge every migration, without a database."
        )
        scope.add_argument(
            "--since",
            default=None,
            metavar="REF",
            help="check: judge what HEAD adds to the Git branch, tag or commit REF, without a database.",
        )
        parser.add_argument(
            "--write-baseline",
            nargs="?",
            const="",
            default=None,
            metavar="FILE",
            help="check: write what is found into the baseline file (DEPLOY['GATE_BASELINE']).",
        )
        parser.add_argument(
            "--fail-on",
            choices=["error", "warning"],
            default="error",
            help="check: the least level that ends with exit code 1.",
        )
        copy = parser.add_mutually_exclusive_group()
        copy.add_argument(
            "--scratch",
            default="",
            metavar="NAME",
            help="rehearse: a restored copy, named DEPLOY['SCRATCH_PREFIX']…; it is changed.",
        )
        copy.add_argument(
            "--from-template",
            default="",
            metavar="NAME",
            help="rehearse: a copy of database NAME (nobody may be connected to it), dropped afterwards.",
        )
        copy.add_argument(
            "--schema-only",
            action="store_true",
            help="rehearse: the live schema and statistics without rows, for data too large to copy.",
        )
        parser.add_argument(
            "--drill",
            action=BooleanOptionalAction,
            default=False,
            help="rehearse: cut the migrations off at every statement as well, on copies of the copy.",
        )
        parser.add_argument(
            "--phase",
            choices=["expand", "contract", "all"],
            default="expand",
            help="apply: which migrations.",
        )
        parser.add_argument(
            "--unproved",
            default="",
            metavar="REASON",
            help="apply: do it without a rehearsal of these migrations; the reason is recorded.",
        )
        parser.add_argument(
            "--interrupted",
            choices=["again", "done"],
            default="",
            help="apply: run the data operation of a killed run again, or take it for done (deploy.M057).",
        )
        parser.add_argument(
            "--timeout", type=seconds, default=None, metavar="SECONDS", help="wait: how long at most."
        )

    def after_interruption(self, options: dict[str, Any]) -> str:
        if options["action"] == "apply":
            return "Run the same command again: it goes on where it stopped."
        if options["action"] == "rehearse" and options["scratch"]:
            return (
                "The copy is half changed. Make a new one and rehearse again:\n"
                "python manage.py restoredb latest --into NEW_NAME\n"
                "python manage.py migrategate rehearse --scratch NEW_NAME"
            )
        return "Run the same command again: it begins anew."

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from django.conf import settings

        alias = options["alias"] or conf.database
        if alias not in settings.DATABASES:
            raise Refusal(UNKNOWN_DATABASE(alias=alias, known=", ".join(settings.DATABASES)))
        {
            "check": self._check,
            "rehearse": self._rehearse,
            "apply": self._apply,
            "wait": self._wait,
        }[options["action"]](conf, alias, options)

    def _check(self, conf: DeployConf, alias: str, options: dict[str, Any]) -> None:
        from deploy.gate import check, write_baseline

        with self.report.step("check") as step:
            everything, since = bool(options["all"]), options["since"]
            deployed, recorded = None, {}
            if since is not None:
                step.facts["deployed"] = f"the code that {since} and HEAD have in common"
            elif not everything:
                live = _live(conf, options)
                deployed, recorded = _deployed(conf, options, step, live), _recorded(live)
            target = options["write_baseline"]
            found = check(
                conf,
                alias=alias,
                deployed=deployed,
                everything=everything,
                since=since,
                recorded=recorded,
                baseline=target is None,
            )
            if target is not None:
                found, written = write_baseline(conf, found, Path(target).absolute() if target else None)
                step.facts["baseline"] = str(written)
            step.facts.update({name: value for name, value in found.as_dict().items() if name != "findings"})
            step.extend(found.findings)
            warnings = [finding for finding in found.findings if finding.level == "warning"]
            if options["fail_on"] == "warning" and warnings:
                raise Refusal(*warnings, exit_code=EXIT_REFUSED)

    def _rehearse(self, conf: DeployConf, alias: str, options: dict[str, Any]) -> None:
        from deploy.databases.scratch import database_alias
        from deploy.gate import check, rehearse
        from deploy.gate.graph.standin import standing_in
        from deploy.management.scratch_copy import scratch_copy
        from deploy.releases import by_hand
        from deploy.releases.session import Session

        with scratch_copy(conf, alias, options, self.report) as (name, what):
            # The scratch database goes by the live one's alias, so that the project's routers know it.
            with (
                self.report.step("check") as step,
                database_alias(alias, name) as scratch,
                standing_in(alias, scratch),
            ):
                deployed = _deployed(conf, options, step)
                found = check(conf, alias=alias, deployed=deployed)
                step.extend(found.findings)
                step.facts["pending"] = len(found.pending)
            with self.report.step("rehearse") as step, database_alias(alias, name) as scratch:
                by_hand.compare(alias, scratch, step)
                result = rehearse(
                    replace(conf, database=alias),
                    alias=scratch,
                    gate=found,
                    deployed=deployed,
                    step=step,
                    drill="always" if options["drill"] else "never",
                )
                result.copy = "" if what == "given" else what
                step.facts.update(result.as_dict())
                by_hand.record(Session.open(conf), result, step)

    def _apply(self, conf: DeployConf, alias: str, options: dict[str, Any]) -> None:
        from deploy.gate import apply, check
        from deploy.gate.run_findings import CONTRACT_LEFT
        from deploy.releases import by_hand
        from deploy.releases.backed_up import require_backup
        from deploy.releases.session import Session

        # The same lock as predeploy's: by hand is no reason to change the schema under another deploy. Other
        # containers that start with the same command are waited for: afterwards nothing is left to do.
        # The lock of one that was killed is free when it has expired, whatever the patience.
        session = Session.open(conf)
        patience = max(conf.apply_timeout_seconds, conf.lock_ttl_seconds * 1.25)
        with session.locked(self.report, "migrategate apply", own_kind_seconds=patience) as guard:
            with self.report.step("check") as step:
                found = check(conf, alias=alias, deployed=_deployed(conf, options, step))
                step.extend(found.findings)
                self.report.require_ok(step)
            phase = options["phase"]
            chosen = {"expand": found.expand, "contract": found.contract, "all": found.pending}[phase]
            if chosen:
                # First, because the evidence may be a record that they were applied without any.
                if conf.backup.apply_grade:
                    with self.report.step("backup") as step:
                        require_backup(session, alias, step)
                with self.report.step("evidence") as step:
                    by_hand.require(session, alias, step, unproved=options["unproved"], guard=guard)
            with self.report.step("apply") as step:
                done = apply(
                    conf,
                    alias=alias,
                    migrations=chosen,
                    guard=guard,
                    step=step,
                    interrupted=options["interrupted"],
                )
                step.facts["applied"] = [".".join(key) for key in done]
                left = [] if phase != "expand" else [".".join(key) for key in found.contract]
                if left:
                    step.facts["left"] = left
                    step.add(CONTRACT_LEFT(count=len(left)))
                if not done:
                    step.skip("nothing to apply")

    def _wait(self, conf: DeployConf, alias: str, options: dict[str, Any]) -> None:
        from deploy.gate import wait

        with self.report.step("wait") as step:
            timeout = conf.wait_timeout_seconds if options["timeout"] is None else options["timeout"]
            wait(conf, alias=alias, timeout_seconds=timeout, step=step)


def _live(conf: DeployConf, options: dict[str, Any]) -> Mapping[str, Any]:
    """What the ledger has of the live release; empty where it knows none, or is not to be asked."""
    if options["deployed_from_database"]:
        return {}
    from deploy.buckets import open_bucket
    from deploy.releases import history, ledger

    book = ledger.open_ledger(conf, open_bucket(conf.bucket))
    live = history.read_history(book).live
    return history.body(book, live, history.PREPARED) if live else {}


def _deployed(
    conf: DeployConf, options: dict[str, Any], step: Step, live: Mapping[str, Any] | None = None
) -> frozenset[tuple[str, str]] | None:
    """The migrations of the live release by the ledger; None (those applied) where it knows none."""
    from deploy.releases import history

    known = history.migrations_of(_live(conf, options) if live is None else live) or None
    step.facts["deployed"] = "the ledger's live release" if known else "the applied migrations"
    return known


def _recorded(live: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Digests of the live release's migrations, and the release that recorded each, in words."""
    from deploy.releases import history

    return {name: (value, f"release {by}") for name, (value, by) in history.sources_of(live).items()}
