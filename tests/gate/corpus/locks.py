"""What PostgreSQL does while a migration runs: locks on live tables, tuples handled under them, new files.

Counters, not clocks: a lock that is held while as many tuples are read or written as a table has rows is one
whose length grows with the table.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

# https://www.postgresql.org/docs/18/explicit-locking.html#LOCKING-TABLES: from SHARE on, writers wait.
BLOCKING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
NO_TRANSACTION = ("25001", "2D000", "25P02")  # "can't run inside a transaction block" and its kin

_OWN_LOCKS = """
    SELECT DISTINCT coalesce(i.indrelid, c.oid)::bigint, l.mode
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE l.pid = %s AND l.locktype = 'relation'
"""
_HANDLED = """
    SELECT c.oid::bigint, (pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid)
        + pg_stat_get_xact_tuples_inserted(c.oid))::bigint,
        (pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid))::bigint
    FROM pg_class c WHERE c.relnamespace >= 16384 OR c.relnamespace = 'public'::regnamespace
"""
_FILES = """
    SELECT c.oid::bigint, c.relname, c.relfilenode::bigint FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'm') AND c.relnamespace = 'public'::regnamespace
      AND c.relname LIKE ANY (ARRAY['store\\_%', 'shop\\_%'])
"""


@dataclass
class Watch:
    """An execute wrapper for a Django connection.

    Attributes:
        blocked: live table → what was held how long, in words.
        rewritten: live tables that got new files.
        changed: the most live tuples updated or deleted in one transaction.
    """

    connection: Any
    address: dict[str, Any]
    rows: int
    blocked: dict[str, str] = field(default_factory=dict)
    rewritten: set[str] = field(default_factory=set)
    changed: int = 0
    _live: dict[int, str] = field(default_factory=dict)
    _files: dict[int, int] = field(default_factory=dict)
    _held: dict[int, str] = field(default_factory=dict)
    _since: dict[int, tuple[dict[int, int], int]] = field(default_factory=dict)
    _transaction: str = ""
    _baseline: int = 0

    def begin(self) -> None:
        """Note the live tables."""
        self.connection.ensure_connection()
        for oid, name, node in self._raw(_FILES):
            self._live[oid], self._files[oid] = name, node

    def finish(self) -> None:
        for oid, _name, node in self._raw(_FILES):
            if self._files.get(oid, node) != node:
                self.rewritten.add(self._live[oid])

    def __call__(self, execute: Any, statement: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if self.connection.in_atomic_block:
            return self._observed(lambda: execute(statement, params, many, context))
        raw = self.connection.connection
        raw.execute("BEGIN")
        try:
            done = self._observed(lambda: execute(statement, params, many, context))
        except Exception as error:
            raw.execute("ROLLBACK")
            if getattr(error.__cause__, "sqlstate", None) not in NO_TRANSACTION:
                raise
            with self._observed_from_outside():
                return execute(statement, params, many, context)
        raw.execute("COMMIT")
        return done

    def _raw(self, statement: str, *params: Any) -> list[Any]:
        return self.connection.connection.execute(statement, params or None).fetchall()

    def _handled(self) -> tuple[dict[int, int], int]:
        """Tuples read or written so far by relation, and those of live tables updated or deleted."""
        found = self._raw(_HANDLED)
        return {oid: read for oid, read, _ in found}, sum(n for oid, _, n in found if oid in self._live)

    def _observed(self, run: Any) -> Any:
        ((transaction,),) = self._raw("SELECT now()::text")
        before, changed_before = self._handled()
        if transaction != self._transaction:
            self._transaction, self._held, self._since = transaction, {}, {}
            self._baseline = changed_before
        done = run()
        after, changed = self._handled()
        self.changed = max(self.changed, changed - self._baseline)
        for oid, mode in self._raw(_OWN_LOCKS, self.connection.connection.info.backend_pid):
            if oid in self._live and mode in BLOCKING:
                self._since.setdefault(oid, (before, changed_before))
                self._held[oid] = max(mode, self._held.get(oid, mode), key=BLOCKING.index)
        for oid, mode in self._held.items():
            # What is dropped meanwhile is left out: a scan of its own before would count against the statement.
            then, changed_then = self._since[oid]
            handled = sum(after.values()) - sum(then.get(one, 0) for one in after) + changed - changed_then
            if handled >= self.rows:
                self.blocked[self._live[oid]] = f"{mode} while {handled} tuples are handled"
        return done

    @contextlib.contextmanager
    def _observed_from_outside(self) -> Iterator[None]:
        """Someone writes every live table while the statement begins: what it holds, or waits for, is seen."""
        pid = self.connection.connection.info.backend_pid
        seen: set[tuple[int, str]] = set()
        done, ready = threading.Event(), threading.Event()

        def watch() -> None:
            with psycopg.connect(**self.address) as look, psycopg.connect(**self.address) as writer:
                writer.execute("BEGIN")
                for name in self._live.values():
                    writer.execute(f'LOCK TABLE "{name}" IN ROW EXCLUSIVE MODE')
                ready.set()
                waits = False
                while not done.wait(0.005) and not waits:
                    seen.update(look.execute(_OWN_LOCKS, (pid,)).fetchall())
                    waits = bool(
                        look.execute(
                            "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", (pid,)
                        ).fetchone()
                    )
                seen.update(look.execute(_OWN_LOCKS, (pid,)).fetchall())
                writer.execute("ROLLBACK")

        thread = threading.Thread(target=watch)
        thread.start()
        ready.wait(30)
        try:
            yield
        finally:
            done.set()
            thread.join()
        for oid, mode in seen:
            if oid in self._live and mode in BLOCKING:
                self.blocked[self._live[oid]] = f"{mode} by a statement that runs outside a transaction"
