"""The object in the bucket: maintenance is on as long as it is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.buckets.base import Bucket, BucketError, ObjectMissing, PreconditionFailed, finding_of
from deploy.buckets.lost_answers import put_surely
from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.redaction import redact

MAINTENANCE_CONTESTED = FindingType(
    "deploy.L075",
    "error",
    "Maintenance was switched by others {tries} times while it was being switched; it was left alone.",
    "python manage.py announce --list",
)

SCHEMA = 1
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Maintenance that is on. Times are UTC; `expected_end` is None without an estimate.

    Attributes:
        by: who switched it on, as in the ledger.
        rollback_of: the release whose rollback did, and will switch it off; empty for a person.
        generation: of the object; not part of its content.
    """

    text: str
    since: datetime
    expected_end: datetime | None
    by: str
    rollback_of: str = ""
    generation: int = field(default=0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data, `from_dict` reads it."""
        return {
            "schema": SCHEMA,
            "text": self.text,
            "since": self.since.isoformat(),
            "expected_end": self.expected_end.isoformat() if self.expected_end else None,
            "by": self.by,
            "rollback_of": self.rollback_of,
        }

    @classmethod
    def from_dict(cls, raw: Any, *, generation: int = 0) -> Maintenance:
        """Back from `as_dict`. What can't be read is left out: that the object is there is what counts."""
        raw = raw if isinstance(raw, dict) else {}
        return cls(
            text=str(raw.get("text") or ""),
            since=_moment(raw.get("since")) or datetime.now(UTC),
            expected_end=_moment(raw.get("expected_end")),
            by=str(raw.get("by") or "unknown"),
            rollback_of=str(raw.get("rollback_of") or ""),
            generation=generation,
        )


def object_name(conf: DeployConf) -> str:
    """The maintenance object of the configured project and environment."""
    return f"maintenance/{conf.project}/{conf.environment}.json"


def look(conf: DeployConf, bucket: Bucket) -> Maintenance | None:
    """What a request needs to know, in one call of the bucket. Raises BucketError."""
    try:
        return Maintenance.from_dict(_parsed(bucket.read(object_name(conf))))
    except ObjectMissing:
        return None


def current(conf: DeployConf, bucket: Bucket) -> Maintenance | None:
    """The maintenance that is on, with its generation, or None.

    Raises:
        Refusal: deploy.K002, deploy.K004.
    """
    with _refusing(bucket, "read"):
        while (info := bucket.stat(object_name(conf))) is not None:
            try:
                raw = _parsed(bucket.read(object_name(conf)))
            except ObjectMissing:
                continue  # switched off between the two
            return Maintenance.from_dict(raw, generation=info.generation)
    return None


def begin(
    conf: DeployConf,
    bucket: Bucket,
    text: str,
    *,
    expected_end: datetime | None,
    rollback_of: str = "",
    guard: Callable[[], None] = lambda: None,
) -> Maintenance:
    """Switch maintenance on, or change its text and estimate. A rollback leaves a person's as it is.

    Raises:
        Refusal: deploy.K002, deploy.K004, deploy.L075, or what `guard` raises.
    """
    for _ in range(_TRIES):
        known = current(conf, bucket)
        if known and rollback_of and known.rollback_of != rollback_of:
            return known
        since = known.since if known else datetime.now(UTC)
        wanted = Maintenance(redact(text), since, expected_end, redact(conf.owner), rollback_of)
        guard()
        body = json.dumps(wanted.as_dict(), sort_keys=True).encode()
        with _refusing(bucket, "written"):
            try:
                info = put_surely(
                    bucket,
                    object_name(conf),
                    body,
                    if_generation=known.generation if known else 0,
                    content_type="application/json",
                )
            except PreconditionFailed:
                continue
        return Maintenance.from_dict(wanted.as_dict(), generation=info.generation)
    raise Refusal(MAINTENANCE_CONTESTED(tries=_TRIES))


def end(
    conf: DeployConf,
    bucket: Bucket,
    *,
    rollback_of: str = "",
    guard: Callable[[], None] = lambda: None,
) -> Maintenance | None:
    """Switch maintenance off and return what it was; with `rollback_of` only that rollback's own.

    Raises:
        Refusal: deploy.K002, deploy.K004, deploy.L075, or what `guard` raises.
    """
    for _ in range(_TRIES):
        known = current(conf, bucket)
        if known is None or (rollback_of and known.rollback_of != rollback_of):
            return None
        guard()
        with _refusing(bucket, "written"):
            try:
                bucket.delete(object_name(conf), if_generation=known.generation)
            except ObjectMissing:
                return known  # by another, or by our own first try whose answer was lost
            except PreconditionFailed:
                continue
        return known
    raise Refusal(MAINTENANCE_CONTESTED(tries=_TRIES))


@contextmanager
def _refusing(bucket: Bucket, action: str) -> Iterator[None]:
    try:
        yield
    except BucketError as error:
        raise Refusal(finding_of(error, bucket.url, action)) from error


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
