"""Tables that had rows before a migration and have none after it, or are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from deploy.reporting.findings import Finding, Level

from .readings import ask
from .rehearsal_findings import ROWS_GONE

# A partition's rows are its parent's, and may move to another.
_TABLES = """SELECT c.oid::bigint, n.nspname, c.relname, c.relispartition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema' AND has_table_privilege(c.oid, 'SELECT')
    AND has_schema_privilege(n.oid, 'USAGE')"""


@dataclass(frozen=True, slots=True)
class Filled:
    """The tables of a database, and which of them have rows: by number (SQLite: by name) and by name."""

    names: dict[int | str, str]
    filled: frozenset[int | str]
    partitions: frozenset[int | str] = frozenset()

    @property
    def filled_names(self) -> frozenset[str]:
        return frozenset(self.names[one] for one in self.filled)


def filled_tables(connection: BaseDatabaseWrapper) -> Filled:
    """Which tables have rows now, seen past Django's cursor on PostgreSQL; outside of a transaction."""
    if connection.vendor != "postgresql":
        return _of_sqlite(connection)
    connection.ensure_connection()
    rows = ask(connection, _TABLES)
    quote = connection.ops.quote_name
    filled = frozenset(
        oid
        for oid, schema, name, _ in rows
        if ask(connection, f"SELECT EXISTS (SELECT FROM {quote(schema)}.{quote(name)})")[0][0]  # noqa: S608 – quoted
    )
    partitions = frozenset(row[0] for row in rows if row[3])
    return Filled({row[0]: row[2] for row in rows}, filled, partitions)


def _of_sqlite(connection: BaseDatabaseWrapper) -> Filled:
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        filled = set()
        for name in names:
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})")  # noqa: S608 – quoted
            if cursor.fetchone()[0]:
                filled.add(name)
    return Filled({name: name for name in names}, frozenset(filled))


def rows_gone(
    before: Filled, after: Filled, place: str, *, kept: Collection[str], is_said: bool
) -> Iterator[Finding]:
    """A finding for each table that lost all its rows: an error, but for a table that is gone and not
    among `kept`, those that a code in use has models of, and where the check said so already (`is_said`).
    """
    for key in sorted(before.filled - before.partitions, key=str):
        name = before.names[key]
        # Copied, dropped and renamed, a table has another number and the same name.
        if key in after.filled or name in after.filled_names:
            continue
        is_gone = key not in after.names and name not in after.names.values()
        if is_gone and isinstance(key, str) and after.filled_names - set(before.names.values()):
            continue  # SQLite: it may have been renamed
        level: Level = "info" if is_said or (is_gone and name not in kept) else "error"
        what = "is gone" if is_gone else "is empty"
        yield ROWS_GONE(table=name, what=what, place=place, level=level)
