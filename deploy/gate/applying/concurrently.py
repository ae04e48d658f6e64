"""CREATE INDEX, DROP INDEX, REINDEX and DETACH PARTITION with CONCURRENTLY, and what a killed one leaves.

None of them stops a reader or writer while it waits for old snapshots, and each of them leaves something
INVALID or pending when it is ended there
(https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY,
sql-reindex.html#SQL-REINDEX-CONCURRENTLY, sql-altertable.html for DETACH PARTITION).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..sql.effect import Effect
from .presence import index_state, is_detached

KINDS = frozenset({"create_index", "drop_index", "reindex", "detach"})

# Of an index, or of all indexes of a table: what REINDEX CONCURRENTLY made beside them and did not finish.
_TRANSIENT = """
SELECT n.nspname, x.relname FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE NOT i.indisvalid AND x.relname ~ '_cc(new|old)[0-9]*$'
AND i.indrelid IN (
    SELECT coalesce(own.indrelid, c.oid) FROM pg_class c LEFT JOIN pg_index own ON own.indexrelid = c.oid
    WHERE c.relname = %(name)s AND pg_table_is_visible(c.oid))
AND (starts_with(x.relname, %(name)s || '_cc')
    OR EXISTS (SELECT FROM pg_class c WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'm')
        AND pg_table_is_visible(c.oid)))
"""
_PARTITION = """
SELECT i.inhdetachpending FROM pg_inherits i
WHERE i.inhparent = to_regclass(quote_ident(%s)) AND i.inhrelid = to_regclass(quote_ident(%s))
"""


def clear_leftovers(session: Any, effects: Sequence[Effect], kept: list[str]) -> bool:
    """Undo or finish what a killed run left of these statements; True when nothing remains to be done.

    What was found is added to `kept`, for the report. `session` is psycopg's, outside of a transaction.
    """
    done = [_cleared(session, effect, kept) for effect in effects]
    return all(done)


def drop_invalid(session: Any, effects: Sequence[Effect]) -> list[str]:
    """The names of the INVALID indexes that a failed CREATE INDEX CONCURRENTLY has left, now dropped.

    A unique one would go on to refuse duplicates to everybody who writes.
    """
    dropped = []
    for effect in effects:
        if effect.kind == "create_index" and effect.name:
            with session.cursor() as cursor:
                if index_state(cursor, effect) == "invalid":
                    cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(effect.name)}")
                    dropped.append(effect.name)
    return dropped


def _cleared(session: Any, effect: Effect, kept: list[str]) -> bool:
    with session.cursor() as cursor:
        if effect.kind == "create_index" and effect.name:
            state = index_state(cursor, effect)
            if state == "same":
                kept.append(f"kept {effect.name}")
                return True
            if state == "invalid":
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(effect.name)}")
                kept.append(f"dropped INVALID {effect.name}")
        elif effect.kind == "reindex":
            for schema, name in cursor.execute(_TRANSIENT, {"name": effect.name or effect.table}).fetchall():
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(schema)}.{_quoted(name)}")
                kept.append(f"dropped INVALID {name}")
        elif effect.kind == "detach":
            return _detached(cursor, effect, kept)
    return False


def _detached(cursor: Any, effect: Effect, kept: list[str]) -> bool:
    row = cursor.execute(_PARTITION, [effect.table, effect.name]).fetchone()
    if row is None:  # either detached already, or PostgreSQL says best what is wrong with the statement
        return is_detached(cursor, effect)
    if not row[0]:
        return False
    cursor.execute(f"ALTER TABLE {_quoted(effect.table)} DETACH PARTITION {_quoted(effect.name)} FINALIZE")
    kept.append(f"finished detaching {effect.name}")
    return True


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
