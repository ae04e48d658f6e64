"""Folds ledger records into releases: their status, evidence and the one that is live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from .ledger import Ledger, Record

Status = Literal["started", "prepared", "live", "superseded", "failed", "rolled-back"]

# Kinds of records. A kind is one fact; what follows from it is decided here, in `fold`.
STARTED = "predeploy.started"
PROVED = "step.proved"
PREPARED = "release.prepared"
FAILED = "release.failed"
LIVE = "release.live"
CONTRACTED = "release.contracted"
ROLLING_BACK = "rollback.begun"
ROLLED_BACK = "release.rolled-back"
TAKEOVER = "lock.takeover"
UNLOCKED = "lock.unlocked"
NOTICE = "notice.announced"
NOTICE_RESOLVED = "notice.resolved"


@dataclass(frozen=True)
class Release:
    """A release as the ledger tells it. Times are UTC.

    Attributes:
        seqs: record numbers by kind, the last of each; bodies are read from the ledger when needed.
    """

    name: str
    status: Status
    started: datetime
    prepared: datetime | None = None
    went_live: datetime | None = None
    ended: datetime | None = None
    contracted: bool = False
    seqs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """All releases, oldest first, and which one is live."""

    releases: Mapping[str, Release]
    live: Release | None
    previous: tuple[str, ...]  # names that were live before, oldest first
    moved: int = 0  # number of the record by which the live release is live

    def candidate(self) -> Release | None:
        """The newest release that is prepared and not (yet) live, if it was since the live one is."""
        prepared = [release for release in self.releases.values() if release.status == "prepared"]
        newest = max(prepared, key=lambda release: release.seqs[PREPARED], default=None)
        if newest and newest.seqs[PREPARED] < self.moved:
            return None
        return newest


def fold(records: Iterable[Record], targets: Mapping[int, str]) -> History:
    """The state after `records` (headers suffice).

    `targets` tells, for each `release.rolled-back` record's number, which release it went back to.
    """
    releases: dict[str, Release] = {}
    line: list[str] = []  # names in the order in which they are live; the last one is
    moved = 0

    def update(name: str, record: Record, **changes: Any) -> None:
        known = releases.get(name) or Release(name, "started", record.at)
        seqs = {**known.seqs, record.kind: record.seq}
        releases[name] = replace(known, seqs=seqs, **changes)

    for record in records:
        name = record.release
        is_live = bool(line) and line[-1] == name
        match record.kind:
            case "predeploy.started":
                # A release that is deployed again after it failed or was rolled back starts anew. One that is
                # live stays live, and one that is prepared stays so until something else is found of it.
                stays = is_live or (name in releases and releases[name].status == "prepared")
                update(name, record, **({} if stays else {"status": "started", "ended": None}))
            case "release.prepared":
                update(name, record, prepared=record.at, **({} if is_live else {"status": "prepared"}))
            case "release.failed":
                # What was live keeps that; an attempt to deploy it again has begun before it fails.
                settled = name in releases and releases[name].status in ("superseded", "rolled-back")
                stays = is_live or settled
                update(name, record, **({} if stays else {"status": "failed", "ended": record.at}))
            case "release.live":
                if line and not is_live:
                    releases[line[-1]] = replace(releases[line[-1]], status="superseded", ended=record.at)
                if not is_live:
                    line.append(name)
                    moved = record.seq
                update(name, record, status="live", went_live=record.at, ended=None)
            case "release.contracted":
                update(name, record, contracted=True)
            case "release.rolled-back":
                update(name, record, status="rolled-back", ended=record.at)
                moved = record.seq if is_live else moved
                target = targets.get(record.seq, "")
                if target and target in releases:
                    while line and line[-1] != target:
                        line.pop()
                    if not line:
                        line.append(target)
                    releases[target] = replace(releases[target], status="live", ended=None)
                elif is_live:
                    line.pop()
            case "step.proved" | "rollback.begun":
                update(name, record)
    live = releases[line[-1]] if line else None
    return History(releases, live, tuple(line[:-1]), moved)


def read_history(ledger: Ledger) -> History:
    """The history from one listing and the bodies of rollbacks."""
    headers = ledger.headers()
    rollbacks = ledger.read_all(header for header in headers if header.kind == ROLLED_BACK)
    return fold(headers, {record.seq: str(record.data.get("to") or "") for record in rollbacks})


def body(ledger: Ledger, release: Release, kind: str, *, needed: bool = False) -> Mapping[str, Any]:
    """The data of the release's last record of `kind`; empty when there is none.

    One that is damaged is empty too and a finding of the ledger, unless it is `needed`.

    Raises:
        Refusal: deploy.L011; deploy.L013 when it is `needed` and damaged.
    """
    seq = release.seqs.get(kind)
    if not seq:
        return {}
    header = Record(seq, kind, release.name, release.started)
    return (ledger.read_needed(header) if needed else ledger.read(header)).data


def contract_body(ledger: Ledger, release: Release) -> Mapping[str, Any]:
    """What `postdeploy` began to contract since the release went live; empty when it did not.

    Raises:
        Refusal: deploy.L011, deploy.L013.
    """
    if release.seqs.get(CONTRACTED, 0) < release.seqs.get(LIVE, 0):
        return {}  # of the release's life before it was rolled back
    return body(ledger, release, CONTRACTED, needed=True)


def proofs(ledger: Ledger, release: str) -> list[Record]:
    """The release's `step.proved` records with their data, oldest first."""
    return ledger.read_all(
        header for header in ledger.headers() if header.kind == PROVED and header.release == release
    )


def migrations_of(data: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The migrations that a release's code knows, from its `release.prepared` data."""
    return frozenset(keys_of(data, "migrations"))


def sources_of(data: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Digests of the project's own migrations by `app_label.name`, each with the release that recorded it."""
    return {
        str(name): (str(value), str(release)) for name, (value, release) in data.get("sources", {}).items()
    }


def keys_of(data: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    """The migrations that a record lists under `kind` ("contract", say), in their order."""
    return [(str(app), str(name)) for app, name in data.get(kind, [])]
