"""Which lock a statement takes on which table, and which locks of others it would wait for.

Source: https://www.postgresql.org/docs/current/explicit-locking.html, Tables 13.2 and 13.3, and the pages of
the statements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .effect import Effect

_ALL = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
# Mode → the modes that it conflicts with (Table 13.2), for the modes that stop writers.
CONFLICTS: dict[str, frozenset[str]] = {
    "ShareLock": frozenset(_ALL[2:4]) | frozenset(_ALL[5:]),
    "ShareRowExclusiveLock": frozenset(_ALL[2:]),
    "ExclusiveLock": frozenset(_ALL[1:]),
    "AccessExclusiveLock": frozenset(_ALL),
}
_OF_LOCK_TABLE = {
    "SHARE": "ShareLock",
    "SHARE ROW EXCLUSIVE": "ShareRowExclusiveLock",
    "EXCLUSIVE": "ExclusiveLock",
    "ACCESS EXCLUSIVE": "AccessExclusiveLock",
}
# What else takes ACCESS EXCLUSIVE on `table`, beside everything that begins with add_, set_, drop_, rename_.
_EXCLUSIVE = {"truncate", "cluster", "vacuum_full", "rewrite"}
# Statements that only others' DDL has to wait for.
_GENTLE = {"validate"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lock on `relation` (a table's name, or an index's: then its table is meant) that stops writers.

    Attributes:
        relation: the bare name.
        mode: as `pg_locks` spells it.
        drops, part: a dropped table, column or constraint may carry foreign keys, whose other table is then
            locked too; `drops` is `table`, `column`, `constraint` or empty, `part` the name.
    """

    relation: str
    mode: str = "AccessExclusiveLock"
    drops: str = ""
    part: str = ""


def wanted(effects: Iterable[Effect], *, new: Iterable[str] = ()) -> tuple[Wanted, ...]:
    """The locks of a statement, or of several, that stop writers; `new` tables nobody else can see yet."""
    nobody_sees = set(new)
    found: dict[Wanted, None] = {}
    for effect in effects:
        if effect.kind == "create_table":
            nobody_sees.add(effect.table)
        for lock in _of(effect):
            if lock.relation and lock.relation not in nobody_sees:
                found.setdefault(lock)
    return tuple(found)


def _of(effect: Effect) -> tuple[Wanted, ...]:
    kind, table = effect.kind, effect.table
    if kind == "create_table" or effect.concurrently or kind in _GENTLE:
        return ()
    if kind == "create_index":
        return (Wanted(table, "ShareLock"),)
    if kind == "reindex":  # https://www.postgresql.org/docs/current/sql-reindex.html; a view is exclusive
        mode = "ShareLock" if effect.verb.startswith("REINDEX") else "AccessExclusiveLock"
        return (Wanted(table or effect.name, mode),)
    if kind == "add_fk":
        return (Wanted(table, "ShareRowExclusiveLock"), Wanted(effect.new, "ShareRowExclusiveLock"))
    if kind == "drop_index":
        return (Wanted(effect.name),)
    if kind == "drop_table":
        return (Wanted(table, drops="table"),)
    if kind == "drop_column":
        return (Wanted(table, drops="column", part=effect.column),)
    if kind == "drop_constraint":
        return (Wanted(table, drops="constraint", part=effect.name),)
    if kind == "lock":
        return (Wanted(table, _OF_LOCK_TABLE[effect.new]),) if effect.new in _OF_LOCK_TABLE else ()
    if kind == "attach":  # the parent gets SHARE UPDATE EXCLUSIVE only
        return (Wanted(effect.name),)
    if kind == "detach":
        return (Wanted(table), Wanted(effect.name))
    if kind.startswith(("add_", "set_", "drop_", "rename_")) or kind in _EXCLUSIVE:
        return (Wanted(table),)
    # What the reader does not know of an ALTER TABLE may take the strongest lock.
    unknown = kind in {"other", "opaque"} and effect.verb != "LOCK TABLE"
    return (Wanted(table),) if unknown else ()
