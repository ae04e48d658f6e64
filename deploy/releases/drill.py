"""The drill: the backup is restored into a scratch database, and the migrations are rehearsed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deploy import backup, gate
from deploy.backup import Manifest
from deploy.backup.cloudsql.drill import oversize_bytes
from deploy.databases.scratch import database_alias
from deploy.gate import GateReport, MigrationKey
from deploy.gate.rehearsing.evidence import server_version
from deploy.reporting.report import Report

from .clone_drill import clone_and_rehearse
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
) -> Mapping[str, Any]:
    """Two steps of `report`, `restore` and `rehearse`, proved or reused. Returns the rehearsal's facts.

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
    if size_bytes := oversize_bytes(conf):
        _, facts = clone_and_rehearse(
            session,
            report,
            evidence,
            manifest,
            found,
            deployed=deployed,
            inputs=rehearsed,
            size_bytes=size_bytes,
        )
        return facts
    scratch = backup.scratch_name(conf, session.identity.name)
    old_restore, old_rehearsal = evidence.find("restore", restored), evidence.find("rehearse", rehearsed)
    if old_restore and old_rehearsal:
        for title, proof in (("restore", old_restore), ("rehearse", old_rehearsal)):
            with report.step(title) as step:
                reuse(step, proof)
        backup.drop_scratch(conf, scratch)
        return dict(step.facts)
    backup.drop_stale_scratch(conf)
    try:
        with report.step("restore") as step:
            step.facts.update(backup.restore_into(conf, session.bucket, manifest, name=scratch, step=step))
            report.require_ok(step)
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
        proved = replace(rehearsal.proof, backup=manifest.id).as_dict() if rehearsal.proof else None
        evidence.add(step, rehearsed, proof=proved)
    finally:
        backup.drop_scratch(conf, scratch)
    return step.facts
