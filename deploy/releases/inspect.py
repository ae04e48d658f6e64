"""What a person asks of the ledger: list, show, diff, who holds the lock, break the lock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deploy.buckets.base import BucketError, ObjectMissing, PreconditionFailed
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Step

from .history import (
    FAILED,
    PREPARED,
    ROLLED_BACK,
    UNLOCKED,
    History,
    Release,
    body,
    proofs,
    read_history,
)
from .ledger import LEDGER_UNREACHABLE
from .lock import lock_name, read_lock
from .session import Session
from .way_back import UNKNOWN_RELEASE, nearest

UNLOCK_NOT_CONFIRMED = FindingType(
    "deploy.L060",
    "error",
    "The lock is held by {owner}; its last heartbeat was {age:.0f} s ago. It was not broken.",
    "If that run is surely dead: python manage.py releases unlock --yes-owner {owner!q}",
)
NOT_LOCKED = FindingType(
    "deploy.L061", "info", "Nobody holds the deploy lock.", "python manage.py releases list"
)
LOCK_MOVED = FindingType(
    "deploy.L062",
    "error",
    "The lock changed hands while it was being broken; it was left alone.",
    "python manage.py releases lock",
)


def list_releases(session: Session, step: Step, *, limit: int) -> None:
    """The newest `limit` releases as a table."""
    history = read_history(session.ledger)
    releases = sorted(history.releases.values(), key=_last_seq, reverse=True)
    step.facts["live"] = history.live.name if history.live else None
    step.facts["total"] = len(releases)
    step.facts["releases"] = [_row(session, release) for release in releases[: max(0, limit)]]
    step.extend(session.ledger.findings)


def show_release(session: Session, step: Step, name: str) -> None:
    """One release: its record, its proofs, and how it ended."""
    history = read_history(session.ledger)
    release = _known(history, name)
    step.facts.update(_row(session, release))
    if prepared := body(session.ledger, release, PREPARED):
        step.facts["record"] = {key: value for key, value in prepared.items() if key != "migrations"}
        step.facts["record"]["migrations"] = len(prepared.get("migrations", []))
    step.facts["proofs"] = [
        {
            "step": proof.data.get("step"),
            "at": _time(proof.at),
            "seconds": proof.data.get("seconds"),
            "by": proof.by,
            "facts": proof.data.get("facts", {}),
            "findings": len(proof.data.get("findings", [])),
        }
        for proof in proofs(session.ledger, name)
    ]
    for kind, title in ((FAILED, "failure"), (ROLLED_BACK, "rollback")):
        if data := body(session.ledger, release, kind):
            step.facts[title] = dict(data)
    step.extend(session.ledger.findings)


def diff_releases(session: Session, step: Step, old: str, new: str) -> None:
    """What `new` has that `old` has not, and the other way round."""
    history = read_history(session.ledger)
    before = body(session.ledger, _known(history, old), PREPARED)
    after = body(session.ledger, _known(history, new), PREPARED)
    step.facts["migrations_added"] = _difference(after, before)
    step.facts["migrations_removed"] = _difference(before, after)
    step.facts["changed"] = [
        {"what": key, old: before.get(key), new: after.get(key)}
        for key in ("commit", "image", "static_manifest", "verdict", "backup")
        if before.get(key) != after.get(key)
    ]


def show_lock(session: Session, step: Step) -> None:
    """Who holds the deploy lock, since when, and when it expires."""
    try:
        state = read_lock(session.conf, session.bucket)
    except BucketError as error:
        raise Refusal(LEDGER_UNREACHABLE(url=session.bucket.url, action="read", reason=error)) from error
    if state is None:
        step.add(NOT_LOCKED())
        return
    step.facts.update(
        owner=state.owner,
        command=state.command,
        release=state.release,
        since=state.since,
        heartbeat_age_seconds=round(state.age_seconds, 1),
        expires_in_seconds=round(max(0.0, state.expires_in_seconds), 1),
        expired=state.expires_in_seconds <= 0,
    )


def unlock(session: Session, step: Step, *, owner: str) -> None:
    """Delete the lock of exactly this owner and record who did it.

    Raises:
        Refusal: deploy.L060 (exit code 2) unless `owner` is the holder; deploy.L062 when it changed hands.
    """
    state = read_lock(session.conf, session.bucket)
    if state is None:
        step.add(NOT_LOCKED())
        return
    if owner != state.owner:
        raise Refusal(UNLOCK_NOT_CONFIRMED(owner=state.owner, age=state.age_seconds))
    session.ledger.append(UNLOCKED, state.release, {"owner": state.owner, "command": state.command})
    # Every heartbeat makes a new generation, so a holder that lives is tried a few times; it then notices
    # the loss at its next heartbeat and stops before its next write.
    for _ in range(5):
        state = read_lock(session.conf, session.bucket)
        if state is None:
            break
        if state.owner != owner:
            raise Refusal(LOCK_MOVED())
        try:
            session.bucket.delete(lock_name(session.conf), if_generation=state.generation)
        except (ObjectMissing, PreconditionFailed):
            continue
        break
    else:
        raise Refusal(LOCK_MOVED())
    step.facts["unlocked"] = owner


def _known(history: History, name: str) -> Release:
    if name not in history.releases:
        raise Refusal(UNKNOWN_RELEASE(release=name, nearest=nearest(name, history)))
    return history.releases[name]


def _last_seq(release: Release) -> int:
    return max(release.seqs.values(), default=0)


def _row(session: Session, release: Release) -> dict[str, Any]:
    prepared = body(session.ledger, release, PREPARED)
    failed = body(session.ledger, release, FAILED) if release.status == "failed" else {}
    undone = body(session.ledger, release, ROLLED_BACK) if release.status == "rolled-back" else {}
    findings = [str(finding.get("id")) for finding in failed.get("findings", [])]
    told = str(failed.get("reason") or ", ".join(findings))
    why = f"{failed.get('step')}: {told}" if failed else str(undone.get("reason", ""))
    return {
        "release": release.name,
        "status": release.status,
        "started": _time(release.started),
        "live": _time(release.went_live),
        "ended": _time(release.ended),
        "way_back": prepared.get("verdict"),
        "backup": prepared.get("backup"),
        "why": why or None,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    less = {tuple(key) for key in other.get("migrations", [])}
    return [".".join(key) for key in one.get("migrations", []) if tuple(key) not in less]
