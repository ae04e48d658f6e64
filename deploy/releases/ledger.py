"""The ledger: append-only JSON records in the bucket, one object each, never overwritten.

Not in the database, because restoring a backup must not erase history. Records are numbered; a number is
taken by creating its object with generation 0, so that of two writers one wins and the other sees it. Kind,
release and time are in the object's metadata as well, so one listing tells the state of every release and
bodies are read only where asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.buckets.base import (
    Bucket,
    BucketError,
    ObjectCorrupt,
    ObjectInfo,
    ObjectMissing,
    PreconditionFailed,
)
from deploy.buckets.lost_answers import put_surely
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.redaction import redact_tree

SCHEMA = 1
_APPEND_TRIES = 50

RECORD_DAMAGED = FindingType(
    "deploy.L010",
    "warning",
    "The ledger record {name} cannot be read: {reason}. It is left out.",
    "Look at it (it is never overwritten or deleted): {name}",
)
LEDGER_UNREACHABLE = FindingType(
    "deploy.L011",
    "error",
    "The ledger in {url} could not be {action}: {reason}.",
    "python manage.py preflight --only bucket",
)
LEDGER_BUSY = FindingType(
    "deploy.L012",
    "error",
    "No free record number was found in {tries} tries: others keep writing to the ledger.",
    "Wait for the other deploys to end: python manage.py releases lock",
)


RECORD_NEEDED = FindingType(
    "deploy.L013",
    "error",
    "The ledger record {name} is needed to decide this and cannot be read: {reason}.",
    "Bring back its bytes (an older generation, a copy of the bucket), then run the same command again.",
    why="A schema that old code cannot use, or a backup that a release stands on, would go unseen.",
)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of history. `at` is UTC; `data` is JSON-like and free of secrets."""

    seq: int
    kind: str
    release: str
    at: datetime
    by: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The stored JSON (schema 1)."""
        return {
            "schema": SCHEMA,
            "seq": self.seq,
            "kind": self.kind,
            "release": self.release,
            "at": self.at.isoformat(),
            "by": self.by,
            "data": dict(self.data),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Record:
        """Back from `as_dict`.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: when it is not a record of this schema.
        """
        if raw.get("schema") != SCHEMA:
            raise ValueError(f"schema {raw.get('schema')!r} is not {SCHEMA}")
        return cls(
            seq=int(raw["seq"]),
            kind=str(raw["kind"]),
            release=str(raw["release"]),
            at=datetime.fromisoformat(raw["at"]),
            by=str(raw["by"]),
            data=raw["data"] if isinstance(raw["data"], dict) else {},
        )


# What reading a record raises when the bucket has answered and the record is not (any more) one.
_DAMAGE = (ObjectCorrupt, ObjectMissing, KeyError, TypeError, ValueError, AttributeError)


def _nothing() -> None:
    """A guard for writes that need no lock."""


class Ledger:
    """The records of one project and environment."""

    def __init__(self, bucket: Bucket, *, project: str, environment: str, owner: str) -> None:
        self.bucket = bucket
        self.prefix = f"ledger/{project}/{environment}/"
        self.owner = owner
        self.findings: list[Finding] = []

    def headers(self) -> list[Record]:
        """Every record without its data, in order, from one listing.

        Objects that are no records become findings in `self.findings`.

        Raises:
            Refusal: deploy.L011 when the bucket does not answer.
        """
        self.findings = []
        try:
            listing = list(self.bucket.list(self.prefix))
            for info in listing:
                if not info.crc32c:  # its properties are damaged: not even its kind is known
                    self.bucket.stat(info.name)  # says how
        except BucketError as error:
            raise Refusal(LEDGER_UNREACHABLE(url=self.bucket.url, action="listed", reason=error)) from error
        records = []
        for info in listing:
            try:
                records.append(self._header(info))
            except (KeyError, ValueError) as error:
                reason = f"its metadata is not a record's ({error})"
                self.findings.append(RECORD_DAMAGED(name=info.name, reason=reason, place=info.name))
        return records

    def read(self, header: Record) -> Record:
        """The record with its data; on damage a finding in `self.findings` and the header itself.

        Raises:
            Refusal: deploy.L011 when the bucket does not answer, which tells nothing of the record.
        """
        try:
            return self._read(header)
        except _DAMAGE as error:
            name = self._name(header.seq)
            self.findings.append(RECORD_DAMAGED(name=name, reason=error, place=name))
            return header

    def read_needed(self, header: Record) -> Record:
        """`read` for what must not be guessed.

        Raises:
            Refusal: deploy.L011, deploy.L013.
        """
        try:
            return self._read(header)
        except _DAMAGE as error:
            name = self._name(header.seq)
            raise Refusal(RECORD_NEEDED(name=name, reason=error, place=name)) from error

    def _read(self, header: Record) -> Record:
        try:
            return Record.from_dict(json.loads(self.bucket.read(self._name(header.seq))))
        except (ObjectCorrupt, ObjectMissing):
            raise
        except BucketError as error:
            raise Refusal(LEDGER_UNREACHABLE(url=self.bucket.url, action="read", reason=error)) from error

    def read_all(self, headers: Iterable[Record]) -> list[Record]:
        """`read` for several headers, in parallel, in their order."""
        from concurrent.futures import ThreadPoolExecutor

        wanted = list(headers)
        if not wanted:
            return []
        with ThreadPoolExecutor(max_workers=min(16, len(wanted))) as threads:
            return list(threads.map(self.read, wanted))

    def append(
        self,
        kind: str,
        release: str,
        data: Mapping[str, Any],
        *,
        guard: Callable[[], None] = _nothing,
    ) -> Record:
        """Add a record. `guard` is called before each try and raises when this deployer lost its lock.

        Raises:
            Refusal: deploy.L011, deploy.L012, or what `guard` raises.
        """
        try:
            seq = max((_sequence(info.name) for info in self.bucket.list(self.prefix)), default=0) + 1
            for _ in range(_APPEND_TRIES):
                guard()
                record = Record(
                    seq=seq,
                    kind=kind,
                    release=release,
                    at=datetime.now(UTC),
                    by=self.owner,
                    data=redact_tree(dict(data)),
                )
                body = json.dumps(record.as_dict(), sort_keys=True, separators=(",", ":")).encode()
                try:
                    put_surely(
                        self.bucket,
                        self._name(seq),
                        body,
                        if_generation=0,
                        content_type="application/json",
                        metadata={"kind": kind, "release": release, "at": record.at.isoformat()},
                    )
                except PreconditionFailed:
                    seq += 1  # somebody else was first; a takeover is seen by the guard
                    continue
                return record
        except BucketError as error:
            raise Refusal(LEDGER_UNREACHABLE(url=self.bucket.url, action="written", reason=error)) from error
        raise Refusal(LEDGER_BUSY(tries=_APPEND_TRIES))

    def _name(self, seq: int) -> str:
        return f"{self.prefix}{seq:08d}.json"

    def _header(self, info: ObjectInfo) -> Record:
        return Record(
            seq=_sequence(info.name, strict=True),
            kind=info.metadata["kind"],
            release=info.metadata["release"],
            at=datetime.fromisoformat(info.metadata["at"]),
        )


def _sequence(name: str, *, strict: bool = False) -> int:
    stem = name.rpartition("/")[2].removesuffix(".json")
    if stem.isascii() and stem.isdigit():
        return int(stem)
    if strict:
        raise ValueError(f"{stem!r} is not a record number")
    return 0


def open_ledger(conf: DeployConf, bucket: Bucket) -> Ledger:
    """The ledger of the configured project and environment."""
    return Ledger(bucket, project=conf.project, environment=conf.environment, owner=conf.owner)
