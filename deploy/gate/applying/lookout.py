"""Look before you lock: nobody queues behind a lock that can't be given soon.

A statement that waits for ACCESS EXCLUSIVE stops every later reader of the table
(https://www.postgresql.org/docs/current/explicit-locking.html), so it is not sent while a transaction that
has lasted for long holds the table. Waiting for that here holds no lock and stops nobody.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError

from ..sql.locks import Wanted
from .blockers import Blocker, holders


class InTheWay(OperationalError):  # noqa: N818 – it states a fact
    """A lock was not asked for, because the transaction that waits for it would hold others meanwhile."""

    sqlstate = "55P03"  # lock_not_available: what the lock_timeout would have said


@dataclass
class Lookout:
    """Knows since when each transaction has been in the way.

    Attributes:
        limit_seconds: the lock_timeout. A transaction that has lasted for longer is waited for; one that has
            lasted for half of it is given twice the time to end, so that a table on which somebody is always
            busy is not waited for until the end of days.
        tell: called with the blocker that is waited for, now and then.
    """

    limit_seconds: float
    tell: Callable[[Blocker, float], None] = lambda _blocker, _seconds: None
    waited_seconds: float = 0.0
    met: dict[str, str] = field(default_factory=dict)
    _first_seen: dict[str, float] = field(default_factory=dict)

    def long_ones(self, session: Any, locks: Sequence[Wanted], *, least_seconds: float) -> list[Blocker]:
        """The holders of conflicting locks that are known to have lasted for `least_seconds`."""
        now = time.monotonic()
        return [
            one
            for one in holders(session, locks)
            if one.wraparound
            or one.pid is None
            or max(one.age_seconds or 0.0, now - self._first_seen.setdefault(one.transaction, now))
            >= least_seconds
        ]

    def require_clear(self, session: Any, locks: Sequence[Wanted]) -> None:
        """For a statement inside a transaction that holds locks: wait for nothing.

        Raises:
            InTheWay: somebody has had the table for longer than the limit.
        """
        found = self.long_ones(session, locks, least_seconds=self.limit_seconds)
        if found:
            raise InTheWay(f"{found[0].table} is in use by {found[0]}")

    def wait(self, session: Any, locks: Sequence[Wanted], *, deadline: float) -> list[Blocker]:
        """Return when nobody is in the way, or at `deadline` (monotonic) with those who still are."""
        began = time.monotonic()
        told = 0.0
        while True:
            waited = time.monotonic() - began
            soft = waited < 2 * self.limit_seconds
            least = self.limit_seconds / 2 if soft else self.limit_seconds
            found = self.long_ones(session, locks, least_seconds=least)
            if not found or time.monotonic() >= deadline:
                self.waited_seconds += waited
                return found
            self.met.setdefault(found[0].transaction, f"{found[0].table}: {found[0]}")
            if waited >= told:
                self.tell(found[0], waited)
                told = waited + 1.0
            left = max(0.0, deadline - time.monotonic())
            time.sleep(min(left, random.uniform(0.05, 0.15)))  # noqa: S311 – jitter, not a secret
