"""`predeploy`: the chain of proofs from "image built" to "migrations applied", resumable.

preflight → gate → backup → restore → rehearse (with the deployed code's models) → static → migrate → record.
Each proof names its inputs; a later run of the same release goes on after the last step whose inputs have
not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from deploy import assets, backup, gate, preflight
from deploy.backup import Manifest
from deploy.buckets.base import BucketError
from deploy.databases.scratch import database_alias
from deploy.gate import GateReport
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.report import EXIT_LOCKED, EXIT_REFUSED, Report

from .baseline import Baseline
from .history import FAILED, PREPARED, STARTED, read_history
from .proof import Evidence, reuse
from .session import Session

PROOF_OUTDATED = FindingType(
    "deploy.L020",
    "error",
    "The {what} changed after it was proved, so the migrations were not applied.",
    "python manage.py predeploy",
    why="Migrations are applied only to the schema, with the plan and after the backup that were rehearsed.",
)
CONTRACT_LATER = FindingType(
    "deploy.L022",
    "info",
    "{count} contract migrations wait for postdeploy: {names}.",
    "Start the release with DEFERRED_MIGRATIONS='{names}', so that /startupz does not wait for them "
    "(docker/entrypoint does it by itself).",
)

# A backup older than this is taken again even if the schema is the same: what it must protect is the data.
BACKUP_REUSE_SECONDS = 3600.0


@dataclass
class Predeploy:
    """One run. Make it, then call `run`; the report holds every step."""

    session: Session
    report: Report
    skip_checks: tuple[str, ...] = ()
    wait_for_lock_seconds: float = 0
    _guard: Callable[[], None] = field(default=lambda: None, init=False)
    _evidence: Evidence = field(init=False)
    _base: Baseline = field(init=False)

    def run(self) -> None:
        """Prove and apply.

        Raises:
            Refusal: with the findings that stopped it; exit code 1 (a gate said no), 2, or 75 (locked).
        """
        with self.session.locked(
            self.report, "predeploy", wait_seconds=self.wait_for_lock_seconds
        ) as self._guard:
            name, ledger = self.session.identity.name, self.session.ledger
            self._base = Baseline(ledger, read_history(ledger), name)
            self._base.refuse_other_content(self.session.identity.commit)
            self._evidence = Evidence.of(ledger, name, self._guard)
            ledger.append(STARTED, name, {"commit": self.session.identity.commit}, guard=self._guard)
            try:
                self._prove()
            except Refusal as refusal:
                if refusal.exit_code != EXIT_LOCKED:
                    self._record_failure(refusal.findings)
                raise

    # The chain, in order.

    def _prove(self) -> None:
        self._preflight()
        report = self._gate()
        manifest = self._backup()
        rehearsal = self._restore_and_rehearse(manifest, report)
        static = self._static()
        applied = self._migrate(report, rehearsal)
        self._record(report, manifest, rehearsal, static, applied)

    def _preflight(self) -> None:
        for step in preflight.run_checks(self.session.conf, skip=self.skip_checks):
            self.report.add_step(step)
        failed = [finding for finding in self.report.findings if finding.level == "error"]
        if failed:
            raise Refusal(*failed, exit_code=EXIT_REFUSED)

    def _gate(self) -> GateReport:
        with self.report.step("gate") as step:
            found = gate.check(
                self.session.conf, alias=self.session.conf.database, deployed=self._base.deployed
            )
            step.facts.update(
                pending=len(found.pending),
                expand=[".".join(key) for key in found.expand],
                contract=[".".join(key) for key in found.contract],
                compared_with=self._base.compared_with,
            )
            step.extend(self.session.ledger.findings)
            step.extend(found.findings)
            self.report.require_ok(step)
        return found

    def _backup(self) -> Manifest:
        conf, bucket = self.session.conf, self.session.bucket
        schema = gate.schema_fingerprint(conf.database)
        applied = sorted(gate.applied(conf.database))
        inputs = {"database": conf.database, "schema": schema, "applied": applied}
        with self.report.step("backup") as step:
            proof = self._evidence.find("backup", inputs)
            age = (datetime.now(UTC) - proof.at).total_seconds() if proof else 0.0
            if proof and age <= BACKUP_REUSE_SECONDS:
                try:
                    manifest = backup.read_manifest(conf, bucket, str(proof.data["facts"]["backup"]))
                except Refusal as refusal:
                    step.extend(_as_warnings(refusal.findings))
                else:
                    reuse(step, proof)
                    return manifest
            manifest = backup.create_backup(
                conf, bucket, release=self.session.identity.name, step=step, guard=self._guard
            )
            step.facts.update(backup=manifest.id, applied=len(applied))
            self.report.require_ok(step)
        self._evidence.add(step, inputs)
        return manifest

    def _restore_and_rehearse(self, manifest: Manifest, found: GateReport) -> Mapping[str, Any]:
        """Restore into a scratch database, rehearse there, drop it. Returns the rehearsal's facts.

        Both proofs stand or fall together: a rehearsal that did not end leaves a scratch database that is
        no longer the restored backup.
        """
        conf, session = self.session.conf, self.session
        inputs = {"backup": manifest.id, "sha256": manifest.sha256}
        rehearsed = {
            **inputs,
            "plan": found.plan_fingerprint,
            "schema": gate.schema_fingerprint(conf.database),
            "deployed": sorted(self._base.deployed or ()),
        }
        old_restore = self._evidence.find("restore", inputs)
        old_rehearsal = self._evidence.find("rehearse", rehearsed)
        if old_restore and old_rehearsal:
            for proof, title in ((old_restore, "restore"), (old_rehearsal, "rehearse")):
                with self.report.step(title) as step:
                    reuse(step, proof)
            backup.drop_scratch(conf, backup.scratch_name(conf, session.identity.name))
            return dict(old_rehearsal.data["facts"])
        backup.drop_stale_scratch(conf)
        scratch = backup.scratch_name(conf, session.identity.name)
        try:
            with self.report.step("restore") as step:
                step.facts.update(
                    backup.restore_into(conf, session.bucket, manifest, name=scratch, step=step)
                )
                self.report.require_ok(step)
            self._evidence.add(step, inputs)
            with self.report.step("rehearse") as step, database_alias(conf.database, scratch) as alias:
                rehearsal = gate.rehearse(
                    conf, alias=alias, gate=found, deployed=self._base.deployed, step=step
                )
                step.facts.update(rehearsal.as_dict())
                step.facts.update(plan=found.plan_fingerprint, schema=rehearsed["schema"])
                self.report.require_ok(step)
            self._evidence.add(step, rehearsed)
        finally:
            backup.drop_scratch(conf, scratch)
        return step.facts

    def _static(self) -> dict[str, Any]:
        session = self.session
        with self.report.step("static") as step:
            plan = assets.plan_upload(session.conf, session.static_bucket, release=session.identity.name)
            step.facts.update(
                assets.upload(plan, session.static_bucket, conf=session.conf, guard=self._guard, step=step)
            )
            self.report.require_ok(step)
        return step.facts

    def _migrate(self, found: GateReport, rehearsal: Mapping[str, Any]) -> list[tuple[str, str]]:
        conf = self.session.conf
        with self.report.step("migrate") as step:
            again = gate.check(conf, alias=conf.database, deployed=self._base.deployed)
            for what, now, then in (
                ("migration plan", again.plan_fingerprint, rehearsal["plan"]),
                ("database schema", gate.schema_fingerprint(conf.database), rehearsal["schema"]),
            ):
                if now != then:
                    step.add(PROOF_OUTDATED(what=what))
            self.report.require_ok(step)
            if not found.expand:
                step.skip("no migrations to apply before the switch")
                return []
            applied = gate.apply(
                conf, alias=conf.database, migrations=found.expand, guard=self._guard, step=step
            )
            step.facts["applied"] = [".".join(key) for key in applied]
            self.report.require_ok(step)
        return applied

    def _record(
        self,
        found: GateReport,
        manifest: Manifest,
        rehearsal: Mapping[str, Any],
        static: Mapping[str, Any],
        applied: list[tuple[str, str]],
    ) -> None:
        session = self.session
        first = self._base.first_backup(self._evidence) or manifest.id
        with self.report.step("record") as step:
            step.facts.update(backup=first, verdict=rehearsal["verdict"])
            if found.contract:
                names = " ".join(".".join(key) for key in found.contract)
                step.add(CONTRACT_LATER(count=len(found.contract), names=names))
            if recorded := self._base.recorded_as_prepared(found, session.conf.image):
                step.skip(f"recorded at {recorded}")
                return
            data = {
                "commit": session.identity.commit,
                "image": session.conf.image,
                "migrations": sorted(gate.known()),
                "expand": found.expand,
                "contract": found.contract,
                "applied": applied,
                "plan": found.plan_fingerprint,
                "static_manifest": static.get("manifest"),
                "backup": first,
                "verdict": rehearsal["verdict"],
                "verdict_after_contract": rehearsal["verdict_after_contract"],
                "live_before": self._base.live_name,
                "steps": [
                    {"name": done.name, "seconds": round(done.seconds, 3), "skipped": done.skipped}
                    for done in self.report.steps
                ],
            }
            session.ledger.append(PREPARED, session.identity.name, data, guard=self._guard)

    def _record_failure(self, findings: tuple[Finding, ...]) -> None:
        step = self.report.steps[-1].name if self.report.steps else "predeploy"
        try:
            self.session.ledger.append(
                FAILED,
                self.session.identity.name,
                {"step": step, "findings": [finding.as_dict() for finding in findings]},
                guard=self._guard,
            )
        except (Refusal, BucketError):
            # The refusal that brought us here is what the person must see; it is in the report.
            return


def _as_warnings(findings: tuple[Finding, ...]) -> list[Finding]:
    return [replace(finding, level="warning") for finding in findings]
