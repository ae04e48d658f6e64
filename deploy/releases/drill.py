"""The drill: the backup is restored into a scratch database, and the migrations are rehearsed there.

`DEPLOY['BACKUP_GRADE']` says how far it goes; L3 is all of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deploy import backup, gate
from deploy.backup import Manifest, proofs
from deploy.backup.cloudsql.drill import oversize_bytes
from deploy.backup.findings_of_proofs import PROVED_LESS
from deploy.backup.manifest import Proof
from deploy.databases.scratch import database_alias
from deploy.gate import GateReport, MigrationKey
from deploy.gate.rehearsing.evidence import server_version
from deploy.reporting.report import Report, Step

from .clone_drill import clone_and_rehearse
from .ledger import Record
from .proof import Evidence, reuse
from .session import Session


def restore_and_rehearse(
    session: Session,
    report: Report,
    evidence: Evidence,
    manifest: Manifest,
    found: GateReport,
    *,
    deployed: frozenset[MigrationKey] | None,
) -> tuple[Manifest, Mapping[str, Any]]:
    """Two steps of `report`, `restore` and `rehearse`, proved or reused.

    Returns the manifest with its proofs, and the rehearsal's facts; without a rehearsal (a grade below L3)
    those that say so: the way back over migrations that were not rehearsed is a restore.

    A database over the limit of DEPLOY['CLOUD_SQL'] is not restored but cloned (see `clone_drill`).

    Both proofs stand or fall together: a rehearsal that did not end leaves a scratch database that is no
    longer the restored backup. The scratch database is dropped in any case.

    Raises:
        Refusal: with exit code 1 when the backup does not come back whole or a migration is refused.
    """
    conf = session.conf
    restored = {"backup": manifest.id, "sha256": [part.sha256 for part in manifest.parts]}
    rehearsed = {
        **restored,
        "plan": found.plan_fingerprint,
        "schema": gate.schema_fingerprint(conf.database),
        "deployed": sorted(deployed or ()),
        "server": server_version(conf.database),
    }
    if conf.backup.grade != "L3":
        return _less(session, report, evidence, manifest, found, rehearsed)
    if size_bytes := oversize_bytes(conf):
        return clone_and_rehearse(
            session,
            report,
            evidence,
            manifest,
            found,
            deployed=deployed,
            inputs=rehearsed,
            size_bytes=size_bytes,
        )
    scratch = backup.scratch_name(conf, session.identity.name)
    old_restore, old_rehearsal = evidence.find("restore", restored), evidence.find("rehearse", rehearsed)
    if old_restore and old_rehearsal:
        for title, proof in (("restore", old_restore), ("rehearse", old_rehearsal)):
            with report.step(title) as step:
                reuse(step, proof)
                if title == "rehearse" and (manifest.grade or 0) < 3:  # killed before it was written there
                    proved_then = _proof_of_record(old_rehearsal, old_restore)
                    manifest = proofs.record(session.bucket, manifest, proved_then, step=step)
        backup.drop_scratch(conf, scratch)
        return manifest, dict(step.facts)
    backup.drop_stale_scratch(conf)
    began = time.monotonic()
    try:
        with report.step("restore") as step:
            with proofs.failures_recorded(
                conf, session.bucket, manifest, "L2", step=step, guard=evidence.guard
            ):
                step.facts.update(
                    backup.restore_into(conf, session.bucket, manifest, name=scratch, step=step)
                )
            report.require_ok(step)
            manifest = _record(session, evidence, manifest, "L2", began, step)
        evidence.add(step, restored)
        with report.step("rehearse") as step, database_alias(conf.database, scratch) as alias:
            rehearsal = gate.rehearse(
                conf, alias=alias, gate=found, deployed=deployed, step=step, drill="small"
            )
            step.facts.update(rehearsal.as_dict())
            step.facts.update(
                plan=found.plan_fingerprint, schema=rehearsed["schema"], server=rehearsed["server"]
            )
            report.require_ok(step)
            manifest = _record(session, evidence, manifest, "L3", began, step)
        proved = replace(rehearsal.proof, backup=manifest.id).as_dict() if rehearsal.proof else None
        evidence.add(step, rehearsed, proof=proved)
    finally:
        backup.drop_scratch(conf, scratch)
    return manifest, step.facts


def _record(
    session: Session, evidence: Evidence, manifest: Manifest, grade: str, began: float, step: Step
) -> Manifest:
    proof = proofs.proof_of(session.conf, grade, seconds=time.monotonic() - began, facts=step.facts)
    if grade == "L3":  # restoring is what recovering takes, and the step before has measured it
        proof = replace(proof, rto_seconds=manifest.proofs[-1].rto_seconds)
    return proofs.record(session.bucket, manifest, proof, step=step, guard=evidence.guard)


def _proof_of_record(rehearsed: Record, restored: Record) -> Proof:
    seconds, facts = rehearsed.data.get("seconds", 0), restored.data.get("facts", {})
    return Proof(3, rehearsed.at, float(seconds), rehearsed.by, rto_seconds=facts.get("rto_seconds"))


def _less(
    session: Session,
    report: Report,
    evidence: Evidence,
    manifest: Manifest,
    found: GateReport,
    now: Mapping[str, Any],
) -> tuple[Manifest, Mapping[str, Any]]:
    """What a grade below L3 asks for, and a step `rehearse` that says what is not done."""
    grade = session.conf.backup.grade
    with report.step("restore" if grade == "L2" else "verify") as step:
        manifest = proofs.prove(
            session.conf, session.bucket, manifest, grade, step=step, guard=evidence.guard
        )
        report.require_ok(step)
    left_out = "the migrations are not rehearsed"
    if grade != "L2":
        left_out = f"the backup is not restored, and {left_out}"
    with report.step("rehearse") as step:
        step.add(PROVED_LESS(grade=grade, left_out=left_out))
        way_back = "restore" if found.pending else "switch"
        step.facts.update(
            plan=found.plan_fingerprint,
            schema=now["schema"],
            server=now["server"],
            verdict=way_back,
            verdict_after_contract=way_back,
        )
        step.skip(f"DEPLOY['BACKUP_GRADE'] is {grade}")
    return manifest, step.facts
