"""Rehearsals by hand and the evidence that `migrategate apply` asks for, in predeploy's ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.db import DatabaseError, connections

from deploy import backup, gate
from deploy.gate.rehearsing.evidence import Proof, changed, is_empty, present
from deploy.gate.rehearsing.rehearsal_findings import COPY_DIFFERS, NOT_REHEARSED, PROOF_STALE, UNPROVED
from deploy.gate.schema import difference, schema_rows
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .history import PROVED
from .ledger import Record
from .session import Session

# Kinds of records that change no release's state (see `history.fold`).
REHEARSED = "migrations.rehearsed"
APPLIED_UNPROVED = "migrations.applied-unproved"
# Older rehearsals than the last few were of other code.
_LOOKED_AT = 10


def compare(alias: str, scratch: str, step: Step) -> None:
    """Hold the copy against the live database: what is proved on another schema says nothing of this one.

    A live database that does not answer is no fault of the copy's; `apply` compares again.
    """
    try:
        live = schema_rows(alias)
    except (DatabaseError, Refusal):
        return
    differs = difference(live, schema_rows(scratch))
    if differs:
        name = str(connections[scratch].settings_dict["NAME"]).rpartition("/")[2]
        step.add(COPY_DIFFERS(problem=differs, name=name))


def record(session: Session, rehearsal: gate.Rehearsal, step: Step) -> None:
    """Write what a rehearsal by hand proved to the ledger; nothing where it found an error.

    Raises:
        Refusal: deploy.L011, L012.
    """
    if rehearsal.proof is None or not step.ok:
        step.facts["evidence"] = "none: it ended with an error"
        return
    data = {
        "proof": rehearsal.proof.as_dict(),
        "facts": step.facts,
        "findings": [finding.as_dict() for finding in step.findings],
        "seconds": round(step.seconds, 3),
    }
    done = session.ledger.append(REHEARSED, session.identity.name, data)
    step.facts["evidence"] = f"record {done.seq}"


def require(session: Session, alias: str, step: Step, *, unproved: str, guard: Callable[[], None]) -> None:
    """Let `apply` go on only with migrations that were rehearsed on what is there now.

    A database that is still empty needs no proof; `unproved` is the reason of a person who has none.

    Raises:
        Refusal: deploy.M097, M098 with exit code 1.
    """
    if is_empty(alias):
        step.facts["evidence"] = "none needed: the database is empty"
        return
    now = present(alias)
    if not now.pending:
        return
    newest = ""
    at: datetime | None = None
    for entry, proof in _proofs(session):
        what = changed(proof, now) or _backup_changed(session, proof)
        if not what:
            step.facts["evidence"] = f"record {entry.seq} of {entry.at:%Y-%m-%d %H:%M:%S} UTC"
            return
        if at is None:
            newest, at = what, entry.at
    if unproved.strip():
        finding = UNPROVED(reason=unproved.strip())
        session.ledger.append(
            APPLIED_UNPROVED,
            session.identity.name,
            {"reason": unproved.strip(), "pending": sorted(now.pending), "schema": now.schema},
            guard=guard,
        )
        step.add(finding)
        step.facts["evidence"] = "none"
        return
    if at is not None:
        raise Refusal(PROOF_STALE(what=newest, at=f"{at:%Y-%m-%d %H:%M:%S} UTC"), exit_code=1)
    raise Refusal(NOT_REHEARSED(count=len(now.pending)), exit_code=1)


def _proofs(session: Session) -> Iterator[tuple[Record, Proof]]:
    """Newest first: rehearsals by hand, and predeploy's of this release."""
    name = session.identity.name
    wanted = [
        header
        for header in session.ledger.headers()
        if header.kind == REHEARSED or (header.kind == PROVED and header.release == name)
    ]
    for header in reversed(wanted[-_LOOKED_AT:]):
        entry = session.ledger.read(header)
        raw: Any = entry.data.get("proof")
        proof = Proof.from_dict(raw) if isinstance(raw, dict) else None
        if proof is not None:
            yield entry, proof


def _backup_changed(session: Session, proof: Proof) -> str:
    """The backup that was restored for the rehearsal is there and whole by its manifest."""
    if not proof.backup:
        return ""
    try:
        manifest = backup.read_manifest(session.conf, session.bucket, proof.backup)
    except Refusal:
        return f"backup {proof.backup}"
    return f"backup {proof.backup} (it is damaged)" if manifest.damage else ""
