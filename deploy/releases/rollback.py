"""`rollback`: the way back, planned before it is done, in stages that a rollout can run one by one.

database (reverse or restore) → switch → record. A stage that was cut off is run again; what is done of it is
not done twice.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any, Literal

from deploy import backup, gate
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, Report, Step

from . import restoring
from .history import LIVE, ROLLED_BACK, ROLLING_BACK, History, Release, body, read_history
from .session import Guard, Session
from .way_back import UNKNOWN_RELEASE, NoWayBack, RollbackPlan, nearest, plan_rollback

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
OTHER_RELEASE = FindingType(
    "deploy.L046",
    "error",
    "Release {release} is {status}; a rollback now would take {current} away, so nothing was done.",
    "See what is live: python manage.py releases list; then name what is to go: rollback --release NAME",
)
DATABASE_FIRST = FindingType(
    "deploy.L071",
    "error",
    "The database is not that of release {target} yet: the way back from {release} is to {way} first.",
    "python manage.py rollback --release {release} --stage database",
)

Stage = Literal["all", "database", "record"]
STAGES: tuple[Stage, ...] = ("all", "database", "record")
_SWITCH_SECONDS = 600


@dataclass
class Rollback:
    """One run of `rollback`.

    Attributes:
        to: the release to go back to; the one that was live before unless said.
        release: the one that is to go; what is prepared or live unless said.
        yes_restore: the name of the release that goes, typed by whoever knows what a restore loses.
        stage: `database` reverses or restores, `record` ends maintenance and writes what was done to the
            ledger; between them a rollout moves the traffic. `all` does that too, with DEPLOY['SWITCH'].
    """

    session: Session
    report: Report
    to: str = ""
    release: str = ""
    reason: str = ""
    yes_restore: str = ""
    dry_run: bool = False
    wait_for_lock_seconds: float = 0
    stage: Stage = "all"

    def run(self) -> None:
        """Plan, and unless `dry_run`, do it: database first, then traffic, then the record.

        What goes is `release`, or what is prepared or live when this is called, not what is by the time the
        lock is ours: of two rollbacks at once the second must not take the release before as well. With
        `release` a rollback that is done is not done again.

        Raises:
            Refusal: what `plan_rollback` raises, deploy.L042, deploy.L044, deploy.L046, deploy.L071,
                deploy.L001 (75).
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
            if self.stage == "record" and plan.way in ("reverse", "restore"):
                finding = DATABASE_FIRST(release=plan.release, target=plan.target, way=plan.way)
                raise Refusal(finding, exit_code=EXIT_REFUSED)
            if self.stage != "record":
                self._database(plan, guard)
            if self.stage == "all":
                self._switch(plan, guard)
            if self.stage != "database":
                self._record(plan, guard)

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
            try:
                plan = plan_rollback(self.session, history, to=self.to)
            except NoWayBack as none:
                step.facts.update(none.plan)
                raise
            if known and plan.release != known.name:
                raise Refusal(
                    OTHER_RELEASE(release=known.name, status=known.status, current=f"release {plan.release}")
                )
            step.facts.update(plan.as_dict())
            if plan.way == "switch" and (done := _begun(self.session, history, plan)):
                step.facts["database_done"] = done["way"]
            restoring.compare_infrastructure(self.session, history, plan, step)
            if plan.way == "restore":
                loss = restoring.tell_loss(self.session, plan, step)
                if not self.dry_run and self.stage != "record":
                    restoring.confirm(self.session, plan, loss, self.yes_restore)
        return plan

    def _database(self, plan: RollbackPlan, guard: Guard) -> None:
        session = self.session
        if plan.way not in ("reverse", "restore"):
            return
        if plan.way == "restore":
            with self.report.step("maintenance on") as step:
                restoring.keep_out(session, plan, step, guard)
        self._begin(plan, guard)
        with self.report.step(plan.way) as step:
            if plan.manifest is None:
                undone = gate.reverse(
                    session.conf,
                    alias=session.conf.database,
                    migrations=plan.migrations,
                    guard=guard,
                    step=step,
                )
                step.facts["reversed"] = [".".join(key) for key in undone]
            else:
                backup.drop_stale_scratch(session.conf)  # of a run that was killed
                with backup.failures_recorded(
                    session.conf, session.bucket, plan.manifest, "L2", step=step, guard=guard
                ):
                    step.facts.update(
                        backup.replace_database(
                            session.conf, session.bucket, plan.manifest, guard=guard, step=step
                        )
                    )
            self.report.require_ok(step)

    def _begin(self, plan: RollbackPlan, guard: Guard) -> None:
        """Once it is done, nothing but this record tells how the database came to be as it is."""
        if not _begun(self.session, read_history(self.session.ledger), plan):
            self.session.ledger.append(ROLLING_BACK, plan.release, plan.as_dict(), guard=guard)

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

    def _record(self, plan: RollbackPlan, guard: Guard) -> None:
        """Last, and after maintenance has ended: cut off between the two, the next run records it, while the
        other way round nobody would come to let people in again.
        """
        by_hand = self.stage == "all" and not plan.switch
        restoring.let_in(self.session, plan, self.report, guard, by_hand=by_hand)
        with self.report.step("record") as step:
            done = _begun(self.session, read_history(self.session.ledger), plan)
            data = {**plan.as_dict(), **done, "to": plan.target, "reason": self.reason}
            self.session.ledger.append(ROLLED_BACK, plan.release, data, guard=guard)
            step.facts["live"] = plan.target or None


def _begun(session: Session, history: History, plan: RollbackPlan) -> dict[str, Any]:
    """What the stage `database` began on this way back since the release went live; empty if nothing."""
    release: Release = history.releases[plan.release]
    last = release.seqs.get(ROLLING_BACK, 0)
    if last < max(release.seqs.get(LIVE, 0), release.seqs.get(ROLLED_BACK, 0)):
        return {}
    begun = body(session.ledger, release, ROLLING_BACK)
    if begun.get("target") != plan.target:
        return {}
    return {key: begun[key] for key in ("way", "migrations", "backup") if key in begun}


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
