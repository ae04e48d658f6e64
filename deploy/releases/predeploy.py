"""`predeploy`: the chain of proofs from "image built" to "migrations applied", resumable.

preflight → gate → backup → restore → rehearse (with the deployed code's models) → static → migrate → record.
Each proof names its inputs; a later run of the same release goes on after the last step whose inputs have
not changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from deploy import assets, backup, gate, preflight
from deploy.backup import Manifest
from deploy.backup.cloudsql.connection import instance_of
from deploy.backup.cloudsql.drill import oversize_bytes
from deploy.buckets.base import BucketError
from deploy.gate import GateReport
from deploy.gate.rehearsing.evidence import server_version
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, Report

from .backed_up import BackupCheck, require_backup, require_reachable
from .baseline import Baseline
from .companions import judged
from .drill import restore_and_rehearse
from .history import FAILED, PREPARED, STARTED, read_history
from .ledger import Record
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

UNEXPECTED_STOP = FindingType(
    "deploy.L023",
    "error",
    "The step {step} stopped on an unexpected {kind}.",
    "python manage.py predeploy --traceback",
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
        identity = self.session.identity
        with self.session.locked(
            self.report, "predeploy", wait_seconds=self.wait_for_lock_seconds
        ) as self._guard:
            self._look()
            self.session.ledger.append(STARTED, identity.name, {"commit": identity.commit}, guard=self._guard)
            try:
                self._prove()
            except Refusal as refusal:
                # Only a gate's no says something of the release; a mistake in the call or the environment
                # (exit 2) and a lost lock (75) don't.
                if refusal.exit_code == EXIT_REFUSED:
                    self._record_failure(refusal.findings)
                raise
            except Exception as error:
                step = self.report.steps[-1].name
                self._record_failure((UNEXPECTED_STOP(step=step, kind=type(error).__name__),))
                raise

    def plan(self) -> None:
        """Say what `run` would do: the checks and the gate for real, the rest as facts of a step `plan`.

        Takes no lock and writes nothing (but the probe that the bucket's check removes again).

        Raises:
            Refusal: as `run`, for what is known before anything is done.
        """
        self._look()
        self._preflight()
        found = self._gate()
        session, conf = self.session, self.session.conf
        with self.report.step("plan") as step:
            proof = self._usable_backup(self._backup_inputs())
            upload = assets.plan_upload(conf, session.static_bucket, release=session.identity.name)
            step.extend(upload.findings)
            step.facts.update(
                backup=f"go on with {proof.data['facts']['backup']}" if proof else "take one",
                prove=conf.backup.grade,
                rehearse=[".".join(key) for key in found.pending] if conf.backup.grade == "L3" else [],
                static_files_to_send=len(upload.to_send),
                static_send_bytes=upload.send_bytes,
                migrate=[".".join(key) for key in found.expand],
                left_for_postdeploy=[".".join(key) for key in found.contract],
            )
            if conf.backup.grade == "L3" and conf.backup.cloud_sql and oversize_bytes(conf):
                step.facts["rehearse_on"] = f"a clone of {instance_of(conf.backup.cloud_sql)}"

    def _look(self) -> None:
        name, ledger = self.session.identity.name, self.session.ledger
        self._base = Baseline(ledger, read_history(ledger), name)
        self._base.refuse_other_content(self.session.identity.commit)
        self._evidence = Evidence.of(ledger, name, self._guard)

    # The chain, in order.

    def _prove(self) -> None:
        self._preflight()
        report = self._gate()
        manifest = self._backup()
        manifest, rehearsal = restore_and_rehearse(
            self.session, self.report, self._evidence, manifest, report, deployed=self._base.deployed
        )
        static = self._static()
        applied = self._migrate(report, manifest, rehearsal)
        self._record(report, manifest, rehearsal, static, applied)

    def _preflight(self) -> None:
        for step in preflight.run_checks(
            self.session.conf,
            skip=self.skip_checks,
            checks=(*preflight.available_checks(), BackupCheck(none_yet="info")),
        ):
            self.report.add_step(step)
        failed = [finding for finding in self.report.findings if finding.level == "error"]
        if failed:
            raise Refusal(*failed, exit_code=EXIT_REFUSED)
        # Before anything is dumped: a backup that this machine could not read back cannot be proved.
        conf = self.session.conf
        self.report.steps[-1].extend(backup.require_readable(conf, grade=conf.backup.grade))

    def _gate(self) -> GateReport:
        with self.report.step("gate") as step:
            found = self._check()
            step.facts.update(
                pending=len(found.pending),
                expand=[".".join(key) for key in found.expand],
                contract=[".".join(key) for key in found.contract],
                compared_with=self._base.compared_with,
            )
            step.extend(self.session.ledger.findings)
            step.extend(found.findings)
            if found.expand:
                require_reachable(self.session.conf, step)
            self.report.require_ok(step)
        return found

    def _check(self) -> GateReport:
        conf, base = self.session.conf, self._base
        return gate.check(conf, alias=conf.database, deployed=base.deployed, recorded=base.recorded)

    def _backup(self) -> Manifest:
        conf, bucket = self.session.conf, self.session.bucket
        inputs = self._backup_inputs()
        with self.report.step("backup") as step:
            if proof := self._usable_backup(inputs):
                try:
                    manifest = backup.read_manifest(conf, bucket, str(proof.data["facts"]["backup"]))
                except Refusal as refusal:
                    step.extend(_as_warnings(refusal.findings))
                else:
                    if not manifest.damage:
                        reuse(step, proof)
                        step.findings[:] = judged(conf, step.findings, again=True)
                        self.report.require_ok(step)
                        return manifest
            manifest = backup.create_backup(
                conf,
                bucket,
                release=self.session.identity.name,
                commit=self.session.identity.commit,
                step=step,
                guard=self._guard,
            )
            step.facts.update(backup=manifest.id, applied=len(inputs["applied"]))
            step.findings[:] = judged(conf, step.findings)
        # Recorded before it is judged: what is said of a companion must not cost another dump.
        self._evidence.add(step, inputs)
        self.report.require_ok(step)
        return manifest

    def _backup_inputs(self) -> dict[str, Any]:
        alias = self.session.conf.database
        return {
            "database": alias,
            "schema": gate.schema_fingerprint(alias),
            "applied": sorted(gate.applied(alias)),
        }

    def _usable_backup(self, inputs: Mapping[str, Any]) -> Record | None:
        proof = self._evidence.find("backup", inputs)
        conf = self.session.conf.backup
        # No older than half of what may be applied on: the drill takes its time too.
        limit = min(BACKUP_REUSE_SECONDS, conf.apply_max_age_seconds / 2 if conf.apply_grade else math.inf)
        fresh = proof and (datetime.now(UTC) - proof.at).total_seconds() <= limit
        return proof if fresh else None

    def _static(self) -> dict[str, Any]:
        session = self.session
        with self.report.step("static") as step:
            plan = assets.plan_upload(session.conf, session.static_bucket, release=session.identity.name)
            step.facts.update(
                assets.upload(plan, session.static_bucket, conf=session.conf, guard=self._guard, step=step)
            )
            self.report.require_ok(step)
        return step.facts

    def _migrate(
        self, found: GateReport, manifest: Manifest, rehearsal: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        conf = self.session.conf
        with self.report.step("migrate") as step:
            again = self._check()
            for what, now, then in (
                ("migration plan", again.plan_fingerprint, rehearsal["plan"]),
                ("database schema", gate.schema_fingerprint(conf.database), rehearsal["schema"]),
                ("server version", server_version(conf.database), rehearsal["server"]),
            ):
                if now != then:
                    step.add(PROOF_OUTDATED(what=what))
            self.report.require_ok(step)
            if not found.expand:
                step.skip("no migrations to apply before the switch")
                return []
            require_backup(self.session, conf.database, step, manifest=manifest)
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
                "sources": self._base.sources(),
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
