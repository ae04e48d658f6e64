"""What PostgreSQL really does for each statement of a migration: time, locks, rewritten tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .effect import Effect
from .effects import effects

# Table-level lock modes from weak to strong
# (https://www.postgresql.org/docs/current/explicit-locking.html, Table 13.2), those that stop writers or
# readers last.
_MODES = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
_STRENGTH = {mode: index for index, mode in enumerate(_MODES)}
_BLOCKS_WRITES = _STRENGTH["ShareLock"]
_NAMES = {
    "ShareLock": "SHARE", "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE", "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE", "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE",
}  # fmt: skip

_LOCKS = """SELECT c.oid::bigint, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.granted AND l.locktype = 'relation' AND l.database =
    (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.oid = ANY(%s)"""
_TABLES = """SELECT c.oid::bigint, c.relname, pg_relation_filenode(c.oid)::bigint, greatest(c.reltuples,
0)::bigint,
    pg_total_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"""
_FILES = "SELECT oid::bigint, pg_relation_filenode(oid)::bigint FROM pg_class WHERE oid = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Observed:
    """One statement: its first words, how long it took, the strongest lock that it added, by table."""

    statement: str
    seconds: float
    locks: dict[str, str]
    rewritten: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that stopped writers (or readers too) on a table that existed before, and for how long."""

    table: str
    mode: str
    seconds: float
    rows: int
    size_bytes: int

    @property
    def lock(self) -> str:
        """As the manual spells it."""
        return _NAMES.get(self.mode, self.mode)

    @property
    def size(self) -> str:
        """Rows and bytes, for a message."""
        return f"about {self.rows} rows, {self.size_bytes} bytes"


@dataclass
class Observer:
    """Watches one migration; use it as an `execute_wrapper`, then call `finish`.

    A statement outside of a transaction has given its locks back before they can be seen: its text says which
    ones they were, and its time how long it held them.
    """

    connection: BaseDatabaseWrapper
    statements: list[Observed] = field(default_factory=list)
    _tables: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    _files: dict[int, int] = field(default_factory=dict)
    _since: dict[int, tuple[str, float]] = field(default_factory=dict)
    rewritten: dict[str, float] = field(default_factory=dict)
    _alone: list[Held] = field(default_factory=list)

    def begin(self) -> None:
        """Remember the tables that are there: only their locks can hurt anyone."""
        if self.connection.vendor != "postgresql":
            return
        for oid, name, file, rows, size in self._ask(_TABLES):
            self._tables[oid] = (name, rows, size)
            self._files[oid] = file or 0

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        """Time a statement and see what it locked (see Django's `execute_wrapper`)."""
        began = time.monotonic()
        result = execute(sql, params, many, context)
        seconds = time.monotonic() - began
        words = " ".join(str(sql).split())[:120]
        if words.upper().startswith(("SELECT", "SHOW", "SAVEPOINT", "RELEASE", "SET CONSTRAINTS")):
            return result
        if self.connection.in_atomic_block:
            locks, rewritten = self._look(began)
        else:
            locks, rewritten = self._infer(str(sql), seconds)
        for table in rewritten:
            self.rewritten[table] = self.rewritten.get(table, 0.0) + seconds
        self.statements.append(Observed(_without_values(words), round(seconds, 4), locks, rewritten))
        return result

    def finish(self) -> list[Held]:
        """The migration has ended: every lock that stopped writers, with the time from then to now."""
        now = time.monotonic()
        return [
            Held(self._tables[oid][0], mode, now - since, *self._tables[oid][1:])
            for oid, (mode, since) in self._since.items()
        ] + self._alone

    def size(self, table: str) -> str:
        """Rows and bytes of a table when the migration began."""
        for name, rows, size in self._tables.values():
            if name == table:
                return f"about {rows} rows, {size} bytes"
        return "size unknown"

    def _look(self, began: float) -> tuple[dict[str, str], tuple[str, ...]]:
        if self.connection.vendor != "postgresql" or not self.connection.in_atomic_block or not self._tables:
            return {}, ()
        strongest: dict[int, str] = {}
        for oid, mode in self._ask(_LOCKS, [list(self._tables)]):
            if _STRENGTH.get(mode, 0) >= _STRENGTH.get(strongest.get(oid, ""), -1):
                strongest[oid] = mode
        new: dict[str, str] = {}
        for oid, mode in strongest.items():
            if _STRENGTH[mode] < _BLOCKS_WRITES:
                continue
            before = self._since.get(oid)
            if before is None or _STRENGTH[mode] > _STRENGTH[before[0]]:
                new[self._tables[oid][0]] = _NAMES[mode]
                self._since[oid] = (mode, before[1] if before else began)
        rewritten = []
        exclusive = [oid for oid, mode in strongest.items() if mode == "AccessExclusiveLock"]
        for oid, file in self._ask(_FILES, [exclusive]) if exclusive else ():
            if file and file != self._files.get(oid):
                self._files[oid] = file
                rewritten.append(self._tables[oid][0])
        return new, tuple(rewritten)

    def _infer(self, sql: str, seconds: float) -> tuple[dict[str, str], tuple[str, ...]]:
        if self.connection.vendor != "postgresql" or not self._tables or self.connection.connection is None:
            return {}, ()
        rewritten = []
        for oid, file in self._ask(_FILES, [list(self._tables)]):
            if file and file != self._files.get(oid):
                self._files[oid] = file
                rewritten.append(self._tables[oid][0])
        held = dict.fromkeys(rewritten, "AccessExclusiveLock")
        for effect in effects(sql):
            mode = lock_of(effect)
            if mode and _STRENGTH[mode] > _STRENGTH.get(held.get(effect.table, ""), -1):
                held[effect.table] = mode
        known = {name: (rows, size) for name, rows, size in self._tables.values()}
        self._alone += [
            Held(name, mode, seconds, *known[name]) for name, mode in held.items() if name in known
        ]
        return {name: _NAMES[mode] for name, mode in held.items() if name in known}, tuple(rewritten)

    def _ask(self, query: str, params: list[Any] | None = None) -> list[Any]:
        """Past Django's cursor, so that the observer does not observe itself."""
        with self.connection.connection.cursor() as cursor:
            return list(cursor.execute(query, params).fetchall())


def lock_of(effect: Effect) -> str:
    """The lock on its table that a statement takes and that stops writers, or nothing
    (https://www.postgresql.org/docs/current/sql-altertable.html and sql-createindex.html).
    """
    if effect.kind == "create_index":
        return "" if effect.concurrently else "ShareLock"
    if effect.kind == "add_fk":
        return "ShareRowExclusiveLock"
    if effect.kind.startswith(("add_", "set_", "drop_", "rename_")) or effect.kind in {"truncate", "cluster"}:
        return "" if effect.concurrently else "AccessExclusiveLock"
    return ""


def _without_values(statement: str) -> str:
    """Up to the first literal: a statement's text may carry data."""
    return statement.partition("'")[0].strip()
