"""`rollback`: the way back, chosen by the verdict that predeploy proved, planned before it is done.

- **abandon**: the release was never recorded as live; the deployed code survives its expand migrations.
  Traffic may be on it all the same (between the switch and postdeploy), so it is sent back too.
- **switch**: traffic goes back to the target; its code was run against this schema.
- **reverse**: the release's contract migrations are undone first.
- **restore**: they can't be undone; the backup from before them is brought back.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from typing import Any, Literal

from deploy import backup, gate
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, EXIT_USAGE, Report, Step

from .history import PREPARED, ROLLED_BACK, History, Release, body, contract_body, keys_of, read_history
from .session import Guard, Session

NOTHING_TO_ROLL_BACK = FindingType(
    "deploy.L040",
    "error",
    "There is nothing to roll back: {reason}.",
    "python manage.py releases list",
)
UNKNOWN_RELEASE = FindingType(
    "deploy.L041",
    "error",
    "The ledger knows no release {release!r}.{nearest}",
    "python manage.py releases list",
)
RESTORE_NOT_CONFIRMED = FindingType(
    "deploy.L042",
    "error",
    "Rolling back {release} needs the database {database} replaced by backup {backup}: "
    "what was written since then would be lost.",
    "python manage.py rollback --yes-replace {database}",
)
SWITCH_BY_HAND = FindingType(
    "deploy.L043",
    "info",
    "Traffic is not moved by this command, because DEPLOY['SWITCH'] is not set.",
    "Point traffic at release {release}, if it is not there.",
)
SWITCH_FAILED = FindingType(
    "deploy.L044",
    "error",
    "The switch command for release {release} ended with code {code}: {output}",
    "Mend it and run the same rollback again; nothing after the switch was done.",
)
TOO_FAR_BACK = FindingType(
    "deploy.L045",
    "error",
    "Release {target} is not the one before {release}: between them {between} changed the schema for good.",
    "Roll back one release at a time: python manage.py rollback",
)

OTHER_RELEASE = FindingType(
    "deploy.L046",
    "error",
    "Release {release} is {status}; a rollback now would take {current} away, so nothing was done.",
    "See what is live: python manage.py releases list; then name what is to go: rollback --release NAME",
)

Way = Literal["abandon", "switch", "reverse", "restore"]
_SWITCH_SECONDS = 600


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What a rollback would do, in order. `migrations` are undone last first; `backup` is restored."""

    release: str
    target: str
    way: Way
    migrations: tuple[tuple[str, str], ...] = ()
    backup: str = ""
    switch: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the report and the ledger."""
        return {**asdict(self), "migrations": [".".join(key) for key in self.migrations]}


def plan_rollback(session: Session, history: History, *, to: str = "") -> RollbackPlan:
    """Decide the way back from the newest prepared or live release.

    Raises:
        Refusal: deploy.L040, deploy.L041, deploy.L045 (exit code 2).
    """
    if to and to not in history.releases:
        raise Refusal(UNKNOWN_RELEASE(release=to, nearest=nearest(to, history)))
    candidate, live = history.candidate(), history.live
    if candidate and to in ("", live.name if live else ""):
        target = live.name if live else ""
        return RollbackPlan(candidate.name, target, "abandon", switch=_switch_to(session, target))
    if live is None:
        raise Refusal(NOTHING_TO_ROLL_BACK(reason="no release is live or prepared"))
    if not history.previous:
        raise Refusal(NOTHING_TO_ROLL_BACK(reason=f"no release was live before {live.name}"))
    target = to or history.previous[-1]
    if target == live.name:
        raise Refusal(NOTHING_TO_ROLL_BACK(reason=f"release {target} is live already"))
    if target not in history.previous:
        raise Refusal(NOTHING_TO_ROLL_BACK(reason=f"release {target} was never live"))
    passed = history.previous[history.previous.index(target) + 1 :]
    if contracted := [
        name
        for name in passed
        if history.releases[name].contracted or _contract_applied(session, history.releases[name])
    ]:
        raise Refusal(TOO_FAR_BACK(target=target, release=live.name, between=", ".join(contracted)))
    return _plan_from_live(session, live, target)


def _plan_from_live(session: Session, live: Release, target: str) -> RollbackPlan:
    switch = _switch_to(session, target)
    contract = _contract_applied(session, live)
    if not contract:
        return RollbackPlan(live.name, target, "switch", switch=switch)
    prepared = body(session.ledger, live, PREPARED, needed=True)
    rehearsed = set(contract) <= set(keys_of(prepared, "contract"))
    if rehearsed and prepared.get("verdict_after_contract") == "reverse":
        return RollbackPlan(live.name, target, "reverse", contract, switch=switch)
    record = contract_body(session.ledger, live) or prepared
    return RollbackPlan(live.name, target, "restore", (), str(record.get("backup", "")), switch)


def _contract_applied(session: Session, release: Release) -> tuple[tuple[str, str], ...]:
    """The release's contract migrations that are in the database, whoever applied them, last one first."""
    keys = keys_of(contract_body(session.ledger, release), "migrations")
    waiting = keys_of(body(session.ledger, release, PREPARED, needed=True), "contract")
    keys += [key for key in waiting if key not in keys]
    applied = gate.applied(session.conf.database) if keys else frozenset()
    return tuple(key for key in reversed(keys) if key in applied)


def _switch_to(session: Session, target: str) -> tuple[str, ...]:
    return tuple(part.replace("{release}", target) for part in session.conf.switch) if target else ()


def nearest(name: str, history: History) -> str:
    """ " Did you mean …?" for a release name that is unknown, or nothing."""
    import difflib

    near = difflib.get_close_matches(name, list(history.releases), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


@dataclass
class Rollback:
    """One run of `rollback`."""

    session: Session
    report: Report
    to: str = ""
    release: str = ""
    reason: str = ""
    yes_replace: str = ""
    dry_run: bool = False
    wait_for_lock_seconds: float = 0

    def run(self) -> None:
        """Plan, and unless `dry_run`, do it: database first, then traffic, then the record.

        What goes is `release`, or what is prepared or live when this is called, not what is by the time the
        lock is ours: of two rollbacks at once the second must not take the release before as well. With
        `release` a rollback that is done is not done again.

        Raises:
            Refusal: what `plan_rollback` raises, deploy.L042, deploy.L044, deploy.L046, deploy.L001 (75).
        """
        session, report = self.session, self.report
        if self.dry_run:
            self._plan()
            return
        history = read_history(session.ledger)
        newest = history.candidate() or history.live
        self.release = self.release or (newest.name if newest else "")
        with session.locked(report, "rollback", wait_seconds=self.wait_for_lock_seconds) as guard:
            plan = self._plan()
            if plan is None:
                return
            report.release = plan.release
            self._database(plan, guard)
            self._switch(plan, guard)
            with report.step("record") as step:
                data = {**plan.as_dict(), "to": plan.target, "reason": self.reason}
                session.ledger.append(ROLLED_BACK, plan.release, data, guard=guard)
                step.facts["live"] = plan.target or None

    def _plan(self) -> RollbackPlan | None:
        """None when the release that should go is rolled back already."""
        with self.report.step("plan") as step:
            history = read_history(self.session.ledger)
            step.extend(self.session.ledger.findings)
            known = history.releases.get(self.release)
            if self.release and known is None:
                raise Refusal(UNKNOWN_RELEASE(release=self.release, nearest=nearest(self.release, history)))
            if known and known.status == "rolled-back":
                self.report.release = known.name
                step.facts["live"] = history.live.name if history.live else None
                step.skip(f"release {known.name} is rolled back already")
                return None
            plan = plan_rollback(self.session, history, to=self.to)
            if known and plan.release != known.name:
                raise Refusal(
                    OTHER_RELEASE(release=known.name, status=known.status, current=f"release {plan.release}")
                )
            step.facts.update(plan.as_dict())
            if plan.way == "restore" and not self.dry_run:
                self._confirm(plan)
        return plan

    def _confirm(self, plan: RollbackPlan) -> None:
        database = backup.database_name(self.session.conf)
        if self.yes_replace != database:
            raise Refusal(
                RESTORE_NOT_CONFIRMED(release=plan.release, database=database, backup=plan.backup),
                exit_code=EXIT_USAGE,
            )

    def _database(self, plan: RollbackPlan, guard: Guard) -> None:
        conf, session = self.session.conf, self.session
        if plan.way == "reverse":
            with self.report.step("reverse") as step:
                undone = gate.reverse(
                    conf, alias=conf.database, migrations=plan.migrations, guard=guard, step=step
                )
                step.facts["reversed"] = [".".join(key) for key in undone]
                self.report.require_ok(step)
        elif plan.way == "restore":
            with self.report.step("restore") as step:
                backup.replace_database(
                    conf,
                    session.bucket,
                    backup.read_manifest(conf, session.bucket, plan.backup),
                    guard=guard,
                    step=step,
                )
                self.report.require_ok(step)

    def _switch(self, plan: RollbackPlan, guard: Guard) -> None:
        with self.report.step("switch") as step:
            if not plan.target:
                step.skip("no release was live before it")
                return
            # Also for a release that is abandoned: the ledger does not know whether traffic was moved to it
            # already (its public smoke test may be what failed), and moving it twice does no harm.
            if not plan.switch:
                step.add(SWITCH_BY_HAND(release=plan.target))
                return
            guard()
            run_switch(plan.switch, plan.target, step)


def run_switch(argv: tuple[str, ...], release: str, step: Step) -> None:
    """Run the project's own switch command.

    Raises:
        Refusal: deploy.L044 (exit code 1) when it can't be started, fails, or takes over ten minutes.
    """
    step.facts["command"] = list(argv)
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, timeout=_SWITCH_SECONDS, check=False
        )
        code, output = str(done.returncode), (done.stderr or done.stdout).strip()[-500:]
    except (OSError, subprocess.TimeoutExpired) as error:
        code, output = "none", str(error)
    if code != "0":
        raise Refusal(SWITCH_FAILED(release=release, code=code, output=output), exit_code=EXIT_REFUSED)
