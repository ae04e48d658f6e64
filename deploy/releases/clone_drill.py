"""The drill of a database that is too large to restore at every deploy: on a clone of its Cloud SQL instance.

The archive is decoded to its end (L1) and no more; the migrations are rehearsed where they will run: on data
of the same size.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from deploy import backup, gate
from deploy.backup import Manifest
from deploy.backup.cloudsql.drill import cloned, compare, told
from deploy.gate import GateReport, MigrationKey
from deploy.reporting.report import Report

from .proof import Evidence, reuse
from .session import Session


def clone_and_rehearse(
    session: Session,
    report: Report,
    evidence: Evidence,
    manifest: Manifest,
    found: GateReport,
    *,
    deployed: frozenset[MigrationKey] | None,
    inputs: Mapping[str, Any],
    size_bytes: int,
) -> tuple[Manifest, Mapping[str, Any]]:
    """Two steps of `report`, `clone` and `rehearse`, proved or reused, and the clone's deletion.

    Args:
        inputs: what the rehearsal's proof depends on. size_bytes: of the live database.

    Returns:
        The manifest with its proof of L1, and the rehearsal's facts.

    Raises:
        Refusal: with exit code 1 when the archive is damaged, the clone is of another database, or a
            migration is refused; 2 when Cloud SQL makes no clone that can be used.
    """
    conf = session.conf
    of_clone = {key: inputs[key] for key in ("backup", "sha256")}
    old_clone, old_rehearsal = evidence.find("clone", of_clone), evidence.find("rehearse", inputs)
    if old_clone and old_rehearsal:
        for title, proof in (("clone", old_clone), ("rehearse", old_rehearsal)):
            with report.step(title) as step:
                reuse(step, proof)
        return manifest, dict(step.facts)
    with ExitStack() as stack:
        with report.step("clone") as step:
            manifest = backup.prove(conf, session.bucket, manifest, "L1", step=step, guard=evidence.guard)
            ending = partial(report.step, "delete clone")
            clone = stack.enter_context(cloned(conf, manifest, step=step, ending=ending))
            step.facts.update(clone.facts)
            step.facts.update(compare(conf, manifest, clone, step=step))
            step.add(told(conf, manifest, clone, size_bytes))
            report.require_ok(step)
        evidence.add(step, of_clone)
        with report.step("rehearse") as step:
            # No interruptions here: they need copies of the copy, and it is as large as the live one.
            rehearsal = gate.rehearse(
                conf, alias=clone.alias, gate=found, deployed=deployed, step=step, drill="never"
            )
            step.facts.update(rehearsal.as_dict())
            step.facts.update({key: inputs[key] for key in ("plan", "schema", "server")})
            report.require_ok(step)
        proved = replace(rehearsal.proof, backup=manifest.id).as_dict() if rehearsal.proof else None
        evidence.add(step, inputs, proof=proved)
    return manifest, step.facts
