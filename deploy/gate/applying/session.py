"""The one session that may change a schema, with a limit on every statement that it sends.

PostgreSQL queues every later reader behind a waiting ACCESS EXCLUSIVE, so a migration that waits stops the
site (https://www.postgresql.org/docs/current/explicit-locking.html). It therefore looks first, gives up soon
and tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal

from ..findings_of_locks import NO_LOCK_LIMIT
from ..run_findings import IN_THE_WAY
from ..sql.effect import Effect
from ..sql.effects import effects
from ..sql.locks import Wanted, wanted
from . import concurrently, limits, pooler, turn
from .every_connection import limited
from .lookout import Lookout

# Statements on data: they take no lock that stops a reader, and there may be a million of them.
_ON_DATA = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "SAVEPOINT", "RELEASE", "ROLLBACK", "FETCH")
# Of `deadlock_timeout`, which a session that waits for us lets pass before it looks for a circle and fails:
# a second lock of a transaction is given up earlier, so that the circle has gone by then.
_OF_DEADLOCK_TIMEOUT = 0.5
# Of the limit, in the first attempt.
_FIRST = 0.25
# No limit is so short that a lock which is free at once could miss it.
_LEAST_SECONDS = 0.1


@dataclass
class Applier:
    """A session that holds the right to change the schema of `connection`.

    Attributes:
        limit_seconds: for how long a statement may wait for a lock.
        attempt: which one this is, from 1; the first may wait for a quarter of the limit, the second for
            half: who came between the look and the lock is seen by the next look, and a queue hurts.
        statement_seconds: for how long one may hold a lock that stops writers; 0 for as long as it likes.
        deadline: of the whole run, monotonic.
        statement: the last one that was sent.
        wanted: the locks that stop writers which the migration at hand asked for so far; held: of the last
            statement that had such a lock or waited for it.
        leftovers: what killed runs had left, and what became of it.
    """

    connection: BaseDatabaseWrapper
    limit_seconds: float
    statement_seconds: float
    deadline: float
    take: Callable[[BaseDatabaseWrapper], None]
    lookout: Lookout
    attempt: int = 1
    statement: str = ""
    wanted: dict[Wanted, None] = field(default_factory=dict)
    held: Sequence[Wanted] = ()
    leftovers: list[str] = field(default_factory=list)
    _sent_seconds: float = 0.0
    _session: Any = None
    _pid: int = 0
    _deadlock_seconds: float = 1.0
    _held_since: float | None = None
    _new_tables: set[str] = field(default_factory=set)

    def arm(self) -> None:
        """Put lock_timeout on the session and remember it: a reconnected one is armed again."""
        self._held_since, self.held = None, ()
        self._new_tables.clear()
        if self.connection.vendor != "postgresql":
            return
        self.connection.ensure_connection()
        if self._session is not None and self.connection.connection is not self._session:
            self.take(self.connection)
        if self.connection.connection is self._session:
            pooler.require_same(self.connection, self._pid)
        else:
            self._session = self.connection.connection
            self._pid = pooler.backend_pid(self._session)
            limits.watch_client(self._session)
            self._deadlock_seconds = limits.deadlock_seconds(self._session)
        self._limit(self.limit_seconds)

    def disarm(self) -> None:
        """Give the session back as it was."""
        if self.connection.vendor == "postgresql" and self.connection.connection is self._session:
            limits.reset(self._session)

    def was_held_too_long(self) -> bool:
        """The last statement, which has just failed, had used up its time for holding a lock."""
        passed = time.monotonic() - self._sent_seconds
        return bool(self.held and self.statement_seconds and passed >= self.statement_seconds)

    def look(self, locks: Sequence[Wanted]) -> None:
        """Wait, holding nothing, until nobody stands in the way of these locks.

        Raises:
            Refusal: deploy.M062 with those who still do when the time of the whole run is over.
        """
        if not locks or self.connection.vendor != "postgresql":
            return
        self.connection.ensure_connection()
        before = self.lookout.waited_seconds
        found = self.lookout.wait(self.connection.connection, locks, deadline=self.deadline)
        if found:
            raise Refusal(
                IN_THE_WAY(
                    seconds=self.lookout.waited_seconds - before,
                    table=found[0].table,
                    blockers="; ".join(str(one) for one in found[:3]),
                    remedy="\n".join(one.remedy for one in found[:3]),
                ),
                exit_code=1,
            )

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        """Wrap a statement (see Django's `execute_wrapper`)."""
        if self.connection.vendor != "postgresql":
            return execute(sql, params, many, context)
        if self.connection.connection is not self._session:
            self.arm()
        text = self.statement = str(sql)
        send = partial(self._sent, partial(execute, sql, params, many, context))
        if not self.connection.in_atomic_block:
            self._held_since = None
            self._new_tables.clear()
        if text.lstrip().upper().startswith(_ON_DATA) and ";" not in text.rstrip("; \n"):
            result = send()
        else:
            result = self._schema_statement(send, text)
        if "lock_timeout" in f"{sql} {params}".lower() or "discard" in text.lower():
            self._limit(self.limit_seconds)  # no migration may wait without it
        return result

    def _sent(self, execute: Callable[[], Any]) -> Any:
        """A signal ends the statement on the server too: it would go on there, with its locks."""
        try:
            return execute()
        except Exception:  # the statement's own failure leaves the session usable
            raise
        except BaseException:
            limits.abandon(self._session)
            raise

    def _schema_statement(self, send: Callable[[], Any], text: str) -> Any:
        found = effects(text)
        if len(found) > 1 and (ends := [effect.verb for effect in found if effect.kind == "no_limit"]):
            raise Refusal(NO_LOCK_LIMIT(verb=ends[0]), exit_code=1)
        atomic = self.connection.in_atomic_block
        beside = [one for one in found if one.concurrently and one.kind in concurrently.KINDS]
        if beside and not atomic:
            return self._concurrently(send, beside)
        locks = wanted(found, new=self._new_tables)
        self._new_tables |= {one.table for one in found if one.kind == "create_table"}
        if locks:
            return self._locking(send, locks, atomic=atomic)
        if any(one.kind == "validate" for one in found):  # a scan that stops nobody
            return self._limited(send, self.limit_seconds, self._rest_seconds())
        return send()

    def _locking(self, send: Callable[[], Any], locks: Sequence[Wanted], *, atomic: bool) -> Any:
        """A statement that stops writers: sent only when it can have its lock, and not for long."""
        self.wanted |= dict.fromkeys(locks)
        if atomic:
            self.lookout.require_clear(self.connection.connection, locks)
        else:
            self.look(locks)
        wait_seconds = self.limit_seconds * min(1.0, _FIRST * 2 ** (min(self.attempt, 8) - 1))
        if self._held_since is not None:
            held = time.monotonic() - self._held_since
            wait_seconds = min(wait_seconds - held, self._deadlock_seconds * _OF_DEADLOCK_TIMEOUT)
            wait_seconds = max(wait_seconds, min(_LEAST_SECONDS, self.limit_seconds))
        whole = wait_seconds + self.statement_seconds if self.statement_seconds else self._rest_seconds()
        self.held, self._sent_seconds = locks, time.monotonic()
        result = self._limited(send, wait_seconds, whole)
        self.held = ()
        if atomic and self._held_since is None:
            self._held_since = time.monotonic()
        return result

    def _concurrently(self, send: Callable[[], Any], found: Sequence[Effect]) -> Any:
        """It stops neither reader nor writer while it waits for old snapshots, but a lock_timeout there
        would leave something INVALID behind; the time for the whole run bounds it instead.
        """
        self._limit(0, self._rest_seconds())
        try:
            if concurrently.clear_leftovers(self._session, found, self.leftovers):
                return None
            return send()
        except DatabaseError:
            with suppress(Exception):  # the lost connection, or the limit once more: the next run clears up
                self.leftovers += [
                    f"dropped INVALID {name}" for name in concurrently.drop_invalid(self._session, found)
                ]
            raise
        finally:
            self._limit(self.limit_seconds)

    def _limited(self, send: Callable[[], Any], wait_seconds: float, whole_seconds: float) -> Any:
        """With limits of its own; in a failed transaction the rollback brings the session's back."""
        self._limit(wait_seconds, whole_seconds)
        try:
            result = send()
        except BaseException:
            if not self.connection.in_atomic_block:
                self._limit(self.limit_seconds)
            raise
        self._limit(self.limit_seconds)
        return result

    def _rest_seconds(self) -> float:
        return max(self.deadline - time.monotonic(), self.limit_seconds)

    def _limit(self, wait_seconds: float, whole_seconds: float | None = None) -> None:
        session = self.connection.connection
        if session is not None and limits.answers(session):
            limits.put(session, wait_seconds, whole_seconds)


@contextmanager
def applier(conf: DeployConf, alias: str, *, lookout: Lookout | None = None) -> Iterator[Applier]:
    """Be the only one of all processes that changes the schema of `alias`; others wait.

    Raises:
        Refusal: deploy.M050 when another held it for longer than DEPLOY['APPLY_TIMEOUT_SECONDS'], M064 behind
            a pooler that shares sessions.
    """
    connection = connections[alias]
    deadline = time.monotonic() + conf.apply_timeout_seconds
    one = Applier(
        connection,
        conf.statement_lock_timeout_seconds,
        conf.statement_timeout_seconds,
        deadline,
        lambda again: turn.take(conf, again, deadline),
        lookout or Lookout(conf.statement_lock_timeout_seconds),
    )
    if connection.vendor == "sqlite":
        with turn.file_lock(conf, connection, deadline):
            yield one
        return
    with _abandoned_by_a_signal(connection):
        connection.ensure_connection()
        pooler.require_own_session(connection)
        turn.take(conf, connection, deadline)
        one.arm()
    others = limited(conf.statement_lock_timeout_seconds, but=connection)
    try:
        with _abandoned_by_a_signal(connection), connection.execute_wrapper(one), others:
            yield one
    finally:
        _give_back(conf, one)


@contextmanager
def _abandoned_by_a_signal(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A signal in the middle of any question leaves a session that takes no other; the lock goes with it."""
    try:
        yield
    except Exception:  # a failure leaves the session usable
        raise
    except BaseException:
        if connection.connection is not None:
            limits.abandon(connection.connection)
        raise


def _give_back(conf: DeployConf, one: Applier) -> None:
    """Leave the session as it was and the lock to others; what can't be asked that is closed instead."""
    from psycopg import Error as DriverError

    session = one.connection.connection
    if session is None or session.closed:
        return
    if not limits.answers(session):
        session.close()
        return
    try:
        one.disarm()
        turn.give_back(conf, one.connection)
    except DriverError:  # the server has ended it: so the lock is free, and what stopped the run is told
        session.close()
