"""`postdeploy`: after the switch. The release is live; what only old code needed goes away.

live → backup and contract migrations (only when there are some) → prune old backups. That backup is proved as
far as DEPLOY['BACKUP_APPLY_GRADE'] asks, L2 at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from deploy import backup, gate
from deploy.gate import MigrationKey
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, Report

from .backed_up import require_backup
from .companions import judged
from .history import (
    CONTRACTED,
    LIVE,
    PREPARED,
    History,
    Release,
    body,
    contract_body,
    keys_of,
    read_history,
)
from .pruning import plan_for
from .session import Guard, Session

NOT_PREPARED = FindingType(
    "deploy.L030",
    "error",
    "Release {release} is {status}, not prepared, so it cannot go live.",
    "RELEASE={release} python manage.py predeploy",
)
OTHER_LIVE = FindingType(
    "deploy.L032",
    "error",
    "Release {release} was proved while {then} was live, and now {now} is.",
    "Prove it against what is live: RELEASE={release} python manage.py predeploy",
    why="Expand and contract were told apart, and the way back was tried, against the code that was live.",
)
CONTRACT_CHANGED = FindingType(
    "deploy.L031",
    "error",
    "The contract migrations of release {release} are not those that were rehearsed: {differing}.",
    "Run predeploy of this very code again: RELEASE={release} python manage.py predeploy",
)


@dataclass
class Postdeploy:
    """One run of `postdeploy` for the release that this process is."""

    session: Session
    report: Report
    wait_for_lock_seconds: float = 0

    def run(self) -> None:
        """Record the release as live, apply its contract migrations, prune.

        Raises:
            Refusal: deploy.L030, deploy.L031 (exit code 1), deploy.L001 (75), or what a step raises.
        """
        session = self.session
        with session.locked(self.report, "postdeploy", wait_seconds=self.wait_for_lock_seconds) as guard:
            history = read_history(session.ledger)
            release = self._live(history, guard)
            todo, done = self._contract(release)
            if todo:
                self._apply_contract(release, todo, done, guard)
            with self.report.step("prune") as step:
                plan = plan_for(session, step)
                step.facts.update(
                    backup.apply_prune(session.conf, session.bucket, plan, guard=guard, step=step)
                )

    def plan(self) -> None:
        """Say what `run` would do. Takes no lock and writes nothing.

        Raises:
            Refusal: as `run`, for what is known before anything is done.
        """
        release = self._live(read_history(self.session.ledger), None)
        self._contract(release)
        with self.report.step("prune") as step:
            step.facts.update(plan_for(self.session, step).as_dict())

    def _live(self, history: History, guard: Guard | None) -> Release:
        """Record the release as live, if it may be and isn't; without a guard only look whether it may."""
        name = self.session.identity.name
        release = history.releases.get(name)
        with self.report.step("live") as step:
            if release is None or not release.prepared or release.status not in ("prepared", "live"):
                status = release.status if release else "unknown to the ledger"
                raise Refusal(NOT_PREPARED(release=name, status=status), exit_code=EXIT_REFUSED)
            step.extend(self.session.ledger.findings)
            step.facts["before"] = history.live.name if history.live else None
            if release.status == "live":
                step.skip(f"live since {release.went_live:%Y-%m-%d %H:%M:%S} UTC")
            else:
                proved_beside = body(self.session.ledger, release, PREPARED, needed=True).get("live_before")
                if proved_beside != step.facts["before"]:
                    then, now = (
                        f"release {one}" if one else "none" for one in (proved_beside, step.facts["before"])
                    )
                    raise Refusal(OTHER_LIVE(release=name, then=then, now=now), exit_code=EXIT_REFUSED)
                if guard is not None:
                    self.session.ledger.append(LIVE, name, {"before": step.facts["before"]}, guard=guard)
        return release

    def _contract(self, release: Release) -> tuple[list[MigrationKey], frozenset[MigrationKey]]:
        """The contract migrations to apply now, and all that are applied."""
        session, conf = self.session, self.session.conf
        with self.report.step("contract") as step:
            proved = keys_of(body(session.ledger, release, PREPARED, needed=True), "contract")
            done = gate.applied(conf.database)
            todo = [key for key in proved if key not in done]
            if unproved := gate.known() - done - set(proved):
                differing = ", ".join(".".join(key) for key in sorted(unproved)[:5])
                raise Refusal(
                    CONTRACT_CHANGED(release=release.name, differing=differing), exit_code=EXIT_REFUSED
                )
            step.facts["to_apply"] = [".".join(key) for key in todo]
            if not todo:
                step.skip("no contract migrations")
        return todo, done

    def _apply_contract(
        self,
        release: Release,
        todo: list[MigrationKey],
        done: frozenset[MigrationKey],
        guard: Guard,
    ) -> None:
        session, conf = self.session, self.session.conf
        grade = min(conf.backup.apply_grade, "L2")
        with self.report.step("backup") as step:
            if grade:  # before hours of dumping, not after them
                step.extend(backup.require_readable(conf, grade=grade))
            # What a contract migration drops is only in a backup that was taken after the switch.
            manifest = backup.create_backup(
                conf,
                session.bucket,
                release=release.name,
                commit=session.identity.commit,
                step=step,
                guard=guard,
            )
            step.facts["backup"] = manifest.id
            # The release is live, and predeploy has asked for what is strict: nothing may stop half-way here.
            lenient = replace(conf, backup=replace(conf.backup, media_strict=False))
            step.findings[:] = judged(lenient, step.findings)
        if grade:
            with self.report.step("prove") as step:
                # They were rehearsed before the switch; what a backup of now can still be is restored.
                manifest = backup.prove(conf, session.bucket, manifest, grade, step=step, guard=guard)
                self.report.require_ok(step)
                require_backup(session, conf.database, step, manifest=manifest, most_grade="L2")
        with self.report.step("apply contract") as step:
            # Recorded before the first statement: from here on the old code may not be able to come back.
            session.ledger.append(
                CONTRACTED,
                release.name,
                _way_back_from_contract(session, release, todo, done)
                or {"backup": manifest.id, "migrations": todo},
                guard=guard,
            )
            applied = gate.apply(conf, alias=conf.database, migrations=todo, guard=guard, step=step)
            step.facts["applied"] = [".".join(key) for key in applied]
            self.report.require_ok(step)


def _way_back_from_contract(
    session: Session, release: Release, todo: list[MigrationKey], done: frozenset[MigrationKey]
) -> dict[str, Any]:
    """What an earlier run that ended half-way recorded, with what is left to do; empty when there was none.

    Its backup is the way back: the one of now lacks what was dropped then, and what ran then must be undone
    as well.
    """
    if release.status != "live":
        return {}  # it has just gone live
    earlier = contract_body(session.ledger, release)
    begun = keys_of(earlier, "migrations")
    if done.isdisjoint(begun):
        return {}
    return {
        "backup": earlier.get("backup"),
        "migrations": [*begun, *(key for key in todo if key not in begun)],
    }
