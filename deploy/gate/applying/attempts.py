"""One migration until it is through, or until the time for locks is over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.db import DatabaseError, OperationalError, transaction
from django.db.migrations import Migration
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding, Refusal
from deploy.reporting.report import Step

from ..errors import database_text, sqlstate
from ..graph import plan
from ..graph.offline import collect
from ..graph.plan import MigrationKey, place
from ..run_findings import APPLY_FAILED, HELD_TOO_LONG, LOCK_NOT_GIVEN, NOT_REVERSIBLE
from ..sql.locks import Wanted, wanted
from .blockers import holders
from .session import Applier

# 55P03 lock_not_available; 40P01 deadlock_detected: both are "another time, perhaps".
_RETRIED = {"55P03", "40P01"}
_QUERY_CANCELED = "57014"


@dataclass
class Attempts:
    """Runs migrations one by one. `guard` is called before each attempt, and raises to stop."""

    session: Applier
    guard: Callable[[], None]
    step: Step

    def run(
        self,
        key: MigrationKey,
        migration: Migration,
        state: ProjectState,
        act: Callable[[ProjectState, Migration], Any],
        *,
        forwards: bool = True,
    ) -> ProjectState:
        """`act` on the migration, again and again while only a lock is missing; returns the state after it.

        Before the transaction begins, nobody may stand in the way of any of its statements; what these are
        for a migration that is taken back is only known after the first attempt.

        Raises:
            Refusal: deploy.M051, M052, M054, M057, M058, M062 or M063, at the migration's place.
        """
        session = self.session
        began, waited = time.monotonic(), session.lookout.waited_seconds
        session.wanted = {}
        attempts = 0
        while True:
            attempts += 1
            session.attempt = attempts
            self.guard()
            session.arm()  # before the transaction: what is set inside one is undone with it
            if attempts == 1 and forwards and migration.atomic:
                session.wanted |= dict.fromkeys(_to_come(session, key, migration, state))
            try:
                if migration.atomic:
                    session.look(tuple(session.wanted))
                tried = state.clone()
                after = _in_one_transaction(session, migration, tried, act)
            except IrreversibleError as error:
                raise Refusal(
                    NOT_REVERSIBLE(problem=plan.one_line(error), place=place(key)), exit_code=1
                ) from error
            except OperationalError as error:
                if sqlstate(error) not in _RETRIED:
                    raise Refusal(self._failure(key, migration, error), exit_code=1) from error
                self._pause(key, attempts, began, error)
            except Refusal as refusal:
                raise _placed(refusal, key) from refusal.__cause__
            except Exception as error:
                raise Refusal(self._failure(key, migration, error), exit_code=1) from error
            else:
                timings = self.step.facts.setdefault("migrations", {})
                timings[place(key)] = {"attempts": attempts, "seconds": round(time.monotonic() - began, 3)}
                if session.lookout.waited_seconds > waited:
                    timings[place(key)]["looked_seconds"] = round(session.lookout.waited_seconds - waited, 3)
                return after

    def _pause(self, key: MigrationKey, attempts: int, began: float, error: OperationalError) -> None:
        session = self.session
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 – no secret
        pause = jitter * min(session.limit_seconds, 0.25 * 2 ** min(attempts, 6))
        if time.monotonic() + pause >= session.deadline:
            raise Refusal(self._gave_up(key, attempts, time.monotonic() - began), exit_code=1) from error
        time.sleep(pause)

    def _failure(self, key: MigrationKey, migration: Migration, error: Exception) -> Finding:
        session = self.session
        rolled_back = "was rolled back" if migration.atomic else "is not atomic: what it did so far stays"
        if sqlstate(error) == _QUERY_CANCELED and session.was_held_too_long():
            tables = sorted({lock.relation for lock in session.held})
            return HELD_TOO_LONG(
                tables=", ".join(tables),
                limit=session.statement_seconds,
                rolled_back=rolled_back,
                place=place(key),
            )
        text = (
            database_text(error)
            if isinstance(error, DatabaseError)
            else f"{type(error).__name__}: {database_text(error)}"
        )
        return APPLY_FAILED(rolled_back=rolled_back, problem=text, place=place(key))

    def _gave_up(self, key: MigrationKey, attempts: int, seconds: float) -> Finding:
        session = self.session
        session.connection.ensure_connection()
        found = holders(session.connection.connection, tuple(session.wanted))
        return LOCK_NOT_GIVEN(
            limit=session.limit_seconds,
            attempts=attempts,
            seconds=seconds,
            blocker="; ".join(str(one) for one in found[:3]) or "a session that has gone meanwhile",
            place=place(key),
        )


def _to_come(
    session: Applier, key: MigrationKey, migration: Migration, state: ProjectState
) -> tuple[Wanted, ...]:
    """The locks of all its statements; none where nobody has any table, as in a database that is new."""
    if session.connection.vendor != "postgresql" or not _in_use(session.connection.connection):
        return ()
    try:
        collected = collect(key, migration, state.clone(), session.connection.alias)
    except Exception:  # noqa: BLE001 – the same error stops the migration, or its statements are looked at one by one
        return ()
    return wanted(collected.effects)


def _in_use(session: Any) -> bool:
    """Another session has a table of the database at this moment, or a prepared transaction has."""
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation' AND granted"
            " AND pid IS DISTINCT FROM pg_backend_pid() AND relation >= 16384"  # FirstNormalObjectId
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        return bool(cursor.fetchone()[0])


def _in_one_transaction(
    session: Applier, migration: Migration, state: ProjectState, act: Callable[[ProjectState, Migration], Any]
) -> ProjectState:
    """Django records a migration with deferred SQL after its commit; a kill between would never converge."""
    if not migration.atomic:
        act(state, migration)
    else:
        with (
            session.connection.constraint_checks_disabled(),
            transaction.atomic(using=session.connection.alias),
        ):
            act(state, migration)
    return state


def _placed(refusal: Refusal, key: MigrationKey) -> Refusal:
    found = (one if one.place else replace(one, place=place(key)) for one in refusal.findings)
    return Refusal(*found, exit_code=refusal.exit_code)
