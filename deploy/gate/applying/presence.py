"""Is what a statement does there already? Asked when a run goes on where an earlier one was killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from ..sql.effect import Effect, normal_type

_CONSTRAINTS = {
    "add_unique": "u",
    "add_primary_key": "p",
    "add_check": "c",
    "add_fk": "f",
    "add_exclude": "x",
}

# Statements with these effects alone do no harm when they run again.
REPEATABLE = frozenset({
    "set_type", "set_not_null", "drop_not_null", "set_default", "drop_default", "validate", "reindex",
})  # fmt: skip
# Of these, `is_there` can tell.
VISIBLE = frozenset({
    "create_table", "drop_table", "rename_table", "add_column", "drop_column", "rename_column",
    "create_index", "drop_index", "drop_constraint", "detach", *_CONSTRAINTS,
})  # fmt: skip
# Only these show that the migration has run before: what is absent may never have been there.
EVIDENCE = VISIBLE - {"drop_table", "drop_index", "drop_constraint", "detach"}

_COLUMN = (
    "SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> ''"
    " FROM pg_attribute a WHERE a.attrelid = to_regclass(quote_ident(%s)) AND a.attname = %s"
    " AND a.attnum > 0 AND NOT a.attisdropped"
)
_INDEX = (
    "SELECT i.indisvalid, t.relname, i.indisunique, i.indpred IS NOT NULL,"
    " array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY"
    " AS k(n, o) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o)"
    " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
    " WHERE c.relname = %s AND pg_table_is_visible(c.oid)"
)


_RENAMES = {"RENAME CONSTRAINT", "ALTER INDEX … RENAME"}
_DETACHED = (
    "SELECT to_regclass(quote_ident(%s)) IS NOT NULL AND to_regclass(quote_ident(%s)) IS NOT NULL"
    " AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass(quote_ident(%s))"
    " AND inhrelid = to_regclass(quote_ident(%s)))"
)


def is_visible(effect: Effect) -> bool:
    """`is_there` can tell whether it has happened."""
    return effect.kind in VISIBLE or effect.verb in _RENAMES


def is_evidence(effect: Effect) -> bool:
    """That it has happened shows that the migration has run before."""
    return effect.kind in EVIDENCE or effect.verb in _RENAMES


def is_there(cursor: Any, effects: list[Effect], *, ours: bool) -> bool:
    """All that the statement does and that can be looked up is there, and there is such a thing.

    A script and an ALTER TABLE of several parts are one transaction: what can be seen stands for the rest.
    `ours`: an earlier run of ours had begun the operation, so that a column without its default was once
    filled by it. `cursor` is PostgreSQL's own, not Django's.
    """
    answers = [_one(cursor, effect, ours=ours) for effect in effects if is_visible(effect)]
    known = [answer for answer in answers if answer is not None]
    return bool(known) and all(known)


def index_state(cursor: Any, effect: Effect) -> Literal["absent", "invalid", "same", "other"]:
    """What the name of a CREATE INDEX stands for now."""
    row = cursor.execute(_INDEX, [effect.name]).fetchone()
    if row is None:
        return "absent"
    if not row[0]:
        return "invalid"
    same = row[1:4] == (effect.table, effect.unique, "where " in effect.new)
    return "same" if same and tuple(row[4][: len(effect.columns)]) == effect.columns else "other"


def is_detached(cursor: Any, effect: Effect) -> bool:
    """Both tables are there, and neither is a part of the other, not even one that is being detached."""
    names = [effect.table, effect.name]
    return bool(cursor.execute(_DETACHED, [*names, *names]).fetchone()[0])


def _one(cursor: Any, effect: Effect, *, ours: bool) -> bool | None:
    kind = effect.kind
    if kind == "create_table":
        there = [_column(cursor, effect.table, part.column) for part in effect.added]
        return _table(cursor, effect.table) and all(there)
    if kind == "drop_table":
        return not _table(cursor, effect.table)
    if kind == "rename_table":
        return _table(cursor, effect.new) and not _table(cursor, effect.table)
    if kind == "add_column":
        return _same_column(_column(cursor, effect.table, effect.column), effect, ours=ours)
    if kind == "drop_column":
        return _table(cursor, effect.table) and not _column(cursor, effect.table, effect.column)
    if kind == "rename_column":
        new, old = (_column(cursor, effect.table, name) for name in (effect.new, effect.column))
        return bool(new) and not old
    if kind == "create_index":
        return index_state(cursor, effect) == "same" if effect.name else None
    if kind == "drop_index":
        return index_state(cursor, effect) == "absent"
    if effect.verb == "ALTER INDEX … RENAME":
        return _index(cursor, effect.new) and (effect.name == effect.new or not _index(cursor, effect.name))
    if effect.verb == "RENAME CONSTRAINT":
        old, new = (_constraint(cursor, replace(effect, name=name)) for name in (effect.name, effect.new))
        return bool(new and not old)
    if kind == "detach":
        return is_detached(cursor, effect)
    contype = _constraint(cursor, effect) if effect.name else None
    if kind == "drop_constraint":
        return not contype
    return contype == _CONSTRAINTS[kind] if effect.name else None


def _same_column(there: Any, effect: Effect, *, ours: bool) -> bool:
    if not there:
        return False
    kind, not_null, has_default = there
    filled = has_default or effect.default is None or not_null or ours
    return bool(normal_type(kind) == effect.new and not_null == effect.not_null and filled)


def _index(cursor: Any, name: str) -> bool:
    return cursor.execute(_INDEX, [name]).fetchone() is not None


def _table(cursor: Any, name: str) -> bool:
    return cursor.execute("SELECT to_regclass(quote_ident(%s))", [name]).fetchone()[0] is not None


def _column(cursor: Any, table: str, name: str) -> Any:
    return cursor.execute(_COLUMN, [table, name]).fetchone()


def _constraint(cursor: Any, effect: Effect) -> str:
    row = cursor.execute(
        "SELECT contype::text FROM pg_constraint"
        " WHERE conname = %s AND conrelid = to_regclass(quote_ident(%s))",
        [effect.name, effect.table],
    ).fetchone()
    return str(row[0]) if row else ""
