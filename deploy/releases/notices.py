"""Notices to users and staff: maintenance and incidents with an estimated time, kept in the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from deploy.reporting.findings import FindingType, Refusal

from .history import NOTICE, NOTICE_RESOLVED
from .ledger import Ledger

Audience = Literal["users", "staff"]

ETA_INVALID = FindingType(
    "deploy.L050",
    "error",
    "The estimated time {eta!r} is not a duration of at most 30 days.",
    'python manage.py announce "text" --eta 30m (units: s, m, h, d)',
)
NOTICE_EMPTY = FindingType(
    "deploy.L051",
    "error",
    "The notice has {length} characters; it must have 1 to 2000.",
    'python manage.py announce "We are upgrading the database." --eta 30m',
)
NO_NOTICE = FindingType(
    "deploy.L052", "error", "There is no notice in force to resolve.", "python manage.py announce --list"
)

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_ETA = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice in force. Times are UTC; `expected_end` is None without an estimate."""

    number: int
    text: str
    audience: str
    since: datetime
    expected_end: datetime | None
    by: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return {
            "number": self.number,
            "text": self.text,
            "audience": self.audience,
            "since": self.since.isoformat(timespec="seconds"),
            "expected_end": self.expected_end.isoformat(timespec="seconds") if self.expected_end else None,
            "by": self.by,
        }


def parse_eta(eta: str) -> timedelta:
    """`90s`, `30m`, `2h`, `1d` as a duration.

    Raises:
        Refusal: deploy.L050.
    """
    match = re.fullmatch(r"([0-9]{1,7})([smhd])", eta)
    duration = timedelta(seconds=int(match[1]) * _UNIT_SECONDS[match[2]]) if match else timedelta(0)
    if not timedelta(0) < duration <= _MOST_ETA:
        raise Refusal(ETA_INVALID(eta=eta))
    return duration


@dataclass(frozen=True, slots=True)
class Draft:
    """A notice that may be announced. `expected_end` is UTC, or None without an estimate."""

    text: str
    audience: Audience
    expected_end: datetime | None

    @classmethod
    def of(cls, text: str, *, eta: str = "", audience: Audience = "users") -> Draft:
        """Validated, with the estimate counted from now.

        Raises:
            Refusal: deploy.L050, deploy.L051.
        """
        text = text.strip()
        if not 1 <= len(text) <= 2000:
            raise Refusal(NOTICE_EMPTY(length=len(text)))
        return cls(text, audience, datetime.now(UTC) + parse_eta(eta) if eta else None)

    def as_dict(self) -> dict[str, Any]:
        """The ledger's data."""
        end = self.expected_end.isoformat() if self.expected_end else None
        return {"text": self.text, "audience": self.audience, "expected_end": end}


def announce(ledger: Ledger, draft: Draft, *, release: str) -> Notice:
    """Write a notice to the ledger."""
    record = ledger.append(NOTICE, release, draft.as_dict())
    return Notice(record.seq, draft.text, draft.audience, record.at, draft.expected_end, record.by)


def resolve(ledger: Ledger, *, release: str) -> list[Notice]:
    """End every notice in force and return them."""
    ended = in_force(ledger)
    if ended:
        ledger.append(NOTICE_RESOLVED, release, {"numbers": [notice.number for notice in ended]})
    return ended


def in_force(ledger: Ledger) -> list[Notice]:
    """The notices that were announced and not resolved, oldest first."""
    headers = [header for header in ledger.headers() if header.kind in (NOTICE, NOTICE_RESOLVED)]
    notices: dict[int, Notice] = {}
    for record in ledger.read_all(headers):
        if record.kind == NOTICE_RESOLVED:
            for number in record.data.get("numbers", []):
                notices.pop(number, None)
            continue
        end = record.data.get("expected_end")
        notices[record.seq] = Notice(
            record.seq,
            str(record.data.get("text", "")),
            str(record.data.get("audience", "users")),
            record.at,
            datetime.fromisoformat(end) if end else None,
            record.by,
        )
    return list(notices.values())
