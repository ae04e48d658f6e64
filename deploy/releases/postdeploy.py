"""`postdeploy`: after the switch. The release is live; what only old code needed goes away.

live → backup and contract migrations (only when there are some) → prune old backups.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy import backup, gate
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, Report

from .history import CONTRACTED, LIVE, PREPARED, History, Release, body, read_history
from .session import Guard, Session

NOT_PREPARED = FindingType(
    "deploy.L030",
    "error",
    "Release {release} is {status}, not prepared, so it cannot go live.",
    "RELEASE={release} python manage.py predeploy",
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
            self._contract(release, guard)
            self._prune(guard)

    def _live(self, history: History, guard: Guard) -> Release:
        name = self.session.identity.name
        release = history.releases.get(name)
        with self.report.step("live") as step:
            if release is None or not release.prepared or release.status not in ("prepared", "live"):
                status = release.status if release else "unknown to the ledger"
                raise Refusal(NOT_PREPARED(release=name, status=status), exit_code=EXIT_REFUSED)
            step.facts["before"] = history.live.name if history.live else None
            if release.status == "live":
                step.skip(f"live since {release.went_live:%Y-%m-%d %H:%M:%S} UTC")
            else:
                self.session.ledger.append(LIVE, name, {"before": step.facts["before"]}, guard=guard)
        return release

    def _contract(self, release: Release, guard: Guard) -> None:
        session, conf = self.session, self.session.conf
        with self.report.step("contract") as step:
            proved = [
                (str(app), str(name))
                for app, name in body(session.ledger, release, PREPARED).get("contract", [])
            ]
            done = gate.applied(conf.database)
            todo = [key for key in proved if key not in done]
            if unproved := gate.known() - done - set(proved):
                differing = ", ".join(".".join(key) for key in sorted(unproved)[:5])
                raise Refusal(
                    CONTRACT_CHANGED(release=release.name, differing=differing), exit_code=EXIT_REFUSED
                )
            if not todo:
                step.skip("no contract migrations")
                return
        with self.report.step("backup") as step:
            # What a contract migration drops is only in a backup that was taken after the switch.
            manifest = backup.create_backup(
                conf, session.bucket, release=release.name, step=step, guard=guard
            )
            step.facts["backup"] = manifest.id
            self.report.require_ok(step)
        with self.report.step("apply contract") as step:
            # Recorded before the first statement: from here on the old code may not be able to come back.
            session.ledger.append(
                CONTRACTED,
                release.name,
                {"backup": manifest.id, "migrations": todo},
                guard=guard,
            )
            applied = gate.apply(conf, alias=conf.database, migrations=todo, guard=guard, step=step)
            step.facts["applied"] = [".".join(key) for key in applied]
            self.report.require_ok(step)

    def _prune(self, guard: Guard) -> None:
        session, conf = self.session, self.session.conf
        with self.report.step("prune") as step:
            catalog = backup.scan(conf, session.bucket)
            step.extend(catalog.unreadable)
            plan = backup.plan_prune(
                conf,
                catalog.manifests,
                conf.backup_keep,
                pinned_backups(session),
                unfinished=catalog.unfinished,
            )
            step.facts.update(backup.apply_prune(conf, session.bucket, plan, guard=guard, step=step))


def pinned_backups(session: Session) -> set[str]:
    """Ids of backups that the live release, the one before it, and a prepared one stand on."""
    history = read_history(session.ledger)
    names = {*history.previous[-1:], *([history.live.name] if history.live else [])}
    if candidate := history.candidate():
        names.add(candidate.name)
    pinned = set()
    for name in names:
        release = history.releases[name]
        for kind in (PREPARED, CONTRACTED):
            if backup_id := body(session.ledger, release, kind).get("backup"):
                pinned.add(str(backup_id))
    return pinned
