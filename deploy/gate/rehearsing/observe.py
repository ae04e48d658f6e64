"""What PostgreSQL really does for each statement of a migration, seen while it runs on the copy."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from ..errors import sqlstate
from ..sql.effect import Effect
from ..sql.effects import effects, parsed
from ..sql.locks import wanted
from ..sql.modes import blocks_writes, manual_name, stops, strength, strongest
from .observed import Held, Observed, Seen, Table
from .polled import SecondSession
from .readings import Reading, files, held_locks, read_counters

_SILENT = ("SHOW", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET CONSTRAINTS", "SET LOCAL")
_ROWS_ONLY = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "FETCH")
# Kinds of effects that PostgreSQL does not let into a transaction, or that end one themselves; what else it
# refuses there (25001 active_sql_transaction) is run again without one.
_ON_ITS_OWN = {"transaction", "vacuum_full"}
_NO_TRANSACTION = "25001"
_FOR_UPDATE = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)
_LONGEST = 120
# So many entries of one migration are looked at by themselves; a row-by-row loop over two tables is one then.
_MOST_RUNS = 100


@dataclass
class _Run:
    """Statements of one kind that read and write rows, one after the other in a transaction."""

    text: str
    before: Reading
    began: float
    ended: float = 0.0
    count: int = 0
    locked_rows: int = 0


@dataclass
class Observer:
    """Watches one migration; use it as an `execute_wrapper`, and call `finish` before its commit.

    A statement that is a transaction of its own (`atomic = False`) is run between BEGIN and COMMIT, which is
    the same to PostgreSQL, so that its locks can be looked at before it gives them back; what can't run there
    (CONCURRENTLY) is looked at by a second session. Rows that a data migration writes one by one are one
    entry, looked at once: the observer must not cost more than what it observes.

    `there` are the tables from before the first migration (see `readings.tables`): those that a migration
    makes are nobody's yet.
    """

    connection: BaseDatabaseWrapper
    there: dict[int, Table]
    second: Callable[[int], SecondSession] | None = None
    statements: list[Observed] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    _files: dict[int, int] = field(default_factory=dict)
    _since: dict[int, tuple[str, float, int]] = field(default_factory=dict)
    _weaker: dict[int, str] = field(default_factory=dict)
    _run: _Run | None = None
    _runs: int = 0
    _session: SecondSession | None = None

    @property
    def _watches(self) -> bool:
        return self.connection.vendor == "postgresql" and bool(self.there)

    def begin(self) -> None:
        """Remember which file each table lies in."""
        if self._watches:
            self._files = files(self.connection, list(self.there))

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        """Time a statement and see what it did (see Django's `execute_wrapper`)."""
        text = str(sql).lstrip()
        if text[:20].upper().startswith(_SILENT):
            return execute(sql, params, many, context)
        if not self._watches:
            began = time.monotonic()
            result = execute(sql, params, many, context)
            self._note(text, began)
            return result
        opens = self._is_idle()
        if opens:
            self._end_transaction()
        if text[:20].upper().startswith(_ROWS_ONLY) and self.connection.in_atomic_block:
            return self._in_run(text, execute, sql, params, many, context)
        self._end_run()
        if opens and not self.connection.in_atomic_block:
            return self._alone(execute, sql, params, many, context)
        before = read_counters(self.connection)
        began = time.monotonic()
        result = execute(sql, params, many, context)
        self._look(text, began, time.monotonic() - began, before)
        return result

    def finish(self) -> None:
        """The migration is about to commit: every lock that stopped writers is over now."""
        self._end_transaction()

    def close(self) -> None:
        """End the second session, if there was one, and what is still open (see `finish`)."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._watches and self.connection.connection is not None and self._is_idle():
            self._end_transaction()

    def _is_idle(self) -> bool:
        """No transaction is open: Django begins one with the first statement inside `atomic`."""
        self.connection.ensure_connection()
        return str(self.connection.connection.info.transaction_status.name) == "IDLE"

    def _is_open(self) -> bool:
        """A transaction is open in which something can be asked."""
        session = self.connection.connection
        return session is not None and str(session.info.transaction_status.name) == "INTRANS"

    def _end_transaction(self) -> None:
        self._end_run()
        now = time.monotonic()
        for oid, (mode, since, first) in self._since.items():
            behind = tuple(self.statements[first:])
            self.held.append(Held(self.there[oid], mode, now - since, behind))
        self._since.clear()
        self._weaker.clear()

    def _in_run(self, text: str, execute: Callable[..., Any], *rest: Any) -> Any:
        run = self._run
        other = run is not None and _writes(text) and _writes(run.text) and text[:60] != run.text[:60]
        if other and self._runs < _MOST_RUNS:
            self._end_run()
        if self._run is None:
            self._runs += 1
            self._run = _Run(text, read_counters(self.connection), time.monotonic())
        run = self._run
        if _writes(text) and not _writes(run.text):
            run.text = text
        result = execute(*rest)
        if _FOR_UPDATE.search(text[-200:]):
            returned = rest[-1]["cursor"].rowcount
            known = returned >= 0 and _locks_what_it_returns(text)
            # A query around it, or a cursor that reads piece by piece, does not say how many it locked.
            run.locked_rows += returned if known else sys.maxsize
        run.count += 1
        run.ended = time.monotonic()
        return result

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is None or not run.count:
            return
        seconds = run.ended - run.began
        if not self._is_open():  # its transaction is over or has failed, and with it what could be seen
            self._note(run.text, run.began, seconds, count=run.count)
        else:
            self._look(run.text, run.began, seconds, run.before, count=run.count, locked_rows=run.locked_rows)

    def _alone(self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        """A statement that is a transaction of its own."""
        text = str(sql).lstrip()
        found = effects(text)
        session = self.connection.connection
        if not any(effect.kind in _ON_ITS_OWN or effect.concurrently for effect in found):
            try:
                with session.transaction():
                    before = read_counters(self.connection)
                    began = time.monotonic()
                    result = execute(sql, params, many, context)
                    self._look(text, began, time.monotonic() - began, before)
                self._end_transaction()
            except DatabaseError as error:
                if sqlstate(error) != _NO_TRANSACTION:
                    raise
            else:
                return result
        return self._watched_from_outside(execute, sql, params, many, context, found)

    def _watched_from_outside(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any, found: list[Effect]
    ) -> Any:
        before = read_counters(self.connection, settled=True)
        began = time.monotonic()
        if self.second is not None:
            self._session = self._session or self.second(self.connection.connection.info.backend_pid)
            with self._session.looking() as seen:
                result = execute(sql, params, many, context)
        else:
            seen = set()
            result = execute(sql, params, many, context)
        seconds = time.monotonic() - began
        text = str(sql)
        modes: dict[int, str] = {}
        for oid, mode in seen:
            if oid in self.there:
                modes[oid] = strongest((mode, modes.get(oid, "")))
        how: Seen = "while it ran" if modes else "from its text"
        rewritten = self._rewritten(list(self.there))
        by_name = {table.name: oid for oid, table in self.there.items()}
        for oid in rewritten:
            modes[oid] = "AccessExclusiveLock"
        for lock in wanted(found):
            if lock.relation in by_name:
                oid = by_name[lock.relation]
                modes[oid] = strongest((lock.mode, modes.get(oid, "")))
        if self.connection.connection is None or self.connection.connection.closed:
            return result
        after = read_counters(self.connection, settled=True)
        one = self._observed(text, began, seconds, before, after, modes, rewritten)
        self.statements.append(replace(one, seen=how))
        self.held += [
            Held(self.there[oid], mode, seconds, (self.statements[-1],))
            for oid, mode in modes.items()
            if blocks_writes(mode)
        ]
        return result

    def _look(
        self,
        text: str,
        began: float,
        seconds: float,
        before: Reading,
        *,
        count: int = 1,
        locked_rows: int = 0,
    ) -> None:
        """Inside the transaction, right after: what it holds and has done."""
        after = read_counters(self.connection)
        modes: dict[int, str] = {}
        for oid, mode in held_locks(self.connection):
            if oid in self.there:
                modes[oid] = strongest((mode, modes.get(oid, "")))
        new = {}
        for oid, mode in modes.items():
            known = self._since.get(oid)
            if not blocks_writes(mode):
                if stops(mode) and strength(mode) > strength(self._weaker.get(oid, "")):
                    new[oid] = self._weaker[oid] = mode
            elif known is None or strength(mode) > strength(known[0]):
                new[oid] = mode
                first = known[2] if known else len(self.statements)
                self._since[oid] = (mode, known[1] if known else began, first)
        exclusive = [oid for oid, mode in modes.items() if mode == "AccessExclusiveLock"]
        rewritten = self._rewritten(exclusive)
        one = self._observed(text, began, seconds, before, after, new, rewritten, locked_rows=locked_rows)
        self.statements.append(
            replace(one, count=count, is_rows_only=text[:20].upper().startswith(_ROWS_ONLY))
        )

    def _observed(
        self,
        text: str,
        began: float,
        seconds: float,
        before: Reading,
        after: Reading,
        modes: dict[int, str],
        rewritten: tuple[int, ...],
        *,
        locked_rows: int = 0,
    ) -> Observed:
        name = {oid: table.name for oid, table in self.there.items()}
        scanned, written, changed = after.since(before)
        if locked_rows:
            changed = {**{oid: min(rows, locked_rows) for oid, rows in scanned.items()}, **changed}
        updates = [one for one in effects(text) if one.kind in {"update", "delete"}] if written else []
        return Observed(
            without_values(text),
            round(seconds, 4),
            {name[oid]: manual_name(mode) for oid, mode in modes.items()},
            tuple(name[oid] for oid in rewritten),
            {name[oid]: rows for oid, rows in scanned.items() if oid in name},
            {name[oid]: rows for oid, rows in written.items() if oid in name},
            {name[oid]: rows for oid, rows in changed.items() if oid in name},
            after.wal - before.wal,
            {name[oid]: stops(mode) for oid, mode in modes.items()},
            began=began,
            unbatched=any(not one.batched and " IN (" not in text.upper() for one in updates),
        )

    def _note(self, text: str, began: float, seconds: float | None = None, *, count: int = 1) -> None:
        spent = time.monotonic() - began if seconds is None else seconds
        if text[:20].upper().startswith(_ROWS_ONLY) and not _writes(text):
            return
        self.statements.append(Observed(without_values(text), round(spent, 4), began=began, count=count))

    def _rewritten(self, oids: list[int]) -> tuple[int, ...]:
        if not oids or self.connection.connection is None:
            return ()
        now = files(self.connection, oids)
        changed = tuple(oid for oid, file in now.items() if file and file != self._files.get(oid))
        self._files.update(now)
        return changed


def without_values(statement: str) -> str:
    """Up to the first literal: a statement's text may carry data."""
    return " ".join(statement[: 4 * _LONGEST].partition("'")[0].split())[:_LONGEST]


def _writes(text: str) -> bool:
    return text[:20].upper().startswith(_ROWS_ONLY[1:-1])


def _locks_what_it_returns(text: str) -> bool:
    statements = parsed(text) or ()
    return all(getattr(one.stmt, "lockingClause", None) for one in statements)
