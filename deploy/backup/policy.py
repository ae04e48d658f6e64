"""The rules of retention: grandfather, father, son.

All that are young stay, and of each day, week, month and year the newest. A rule only ever keeps; what no
rule keeps goes. All times are UTC, weeks are ISO 8601's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deploy.conf_backup import BackupConf

_PERIODS: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("day", lambda at: f"{at:%Y-%m-%d}"),
    ("week", lambda at: "{}-W{:02d}".format(*at.isocalendar()[:2])),
    ("month", lambda at: f"{at:%Y-%m}"),
    ("year", lambda at: f"{at:%Y}"),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept: at least `keep` (1 or more), all of the last `days`, and the newest of each of the last
    so many days, weeks, months and years that have a backup."""

    keep: int
    days: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    @classmethod
    def of(cls, conf: BackupConf, **other: int | None) -> Policy:
        """The configured one, but for what `other` gives."""
        configured = cls(
            conf.keep, conf.keep_days, conf.keep_daily, conf.keep_weekly, conf.keep_monthly, conf.keep_yearly
        )
        given = {name: value for name, value in other.items() if value is not None}
        return dataclasses.replace(configured, **given)

    def reasons(self, times: Sequence[datetime], now: datetime) -> list[list[str]]:
        """For each backup, newest first, why it stays; an empty list where no rule keeps it."""
        found: list[list[str]] = [[] for _ in times]
        for place, at in enumerate(times):
            if place < max(1, self.keep):
                found[place].append(f"one of the {max(1, self.keep)} newest")
            if self.days and now - at <= timedelta(days=self.days):
                found[place].append(f"of the last {self.days} days")
        limits = (self.daily, self.weekly, self.monthly, self.yearly)
        for (period, name_of), limit in zip(_PERIODS, limits, strict=True):
            seen: set[str] = set()
            for place, at in enumerate(times):
                name = name_of(at.astimezone(UTC))
                if name not in seen and len(seen) < limit:
                    seen.add(name)
                    found[place].append(f"newest of {period} {name}")
        return found
