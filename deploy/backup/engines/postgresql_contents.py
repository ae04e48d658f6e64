"""Measure a PostgreSQL database: rows, digests and objects, the same before a dump and after a restore."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from deploy.backup.contents import Contents

if TYPE_CHECKING:
    from psycopg import Connection

DIGEST_METHOD = (
    "sum of hashtextextended(row::text, 0) over the rows, without an order; tables up to {limit} bytes"
)

# The text of a value must not depend on who asks: these are all the settings that output functions read.
_SETTINGS = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}

# What pg_dump dumps the data of: plain tables and partitions, not those that an extension brings along.
_OWN = """
WITH own AS (
    SELECT c.oid, c.relkind, c.relname, n.nspname, c.relowner, c.relacl
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
)
"""
_TABLES = """
SELECT nspname, relname, pg_table_size(oid) FROM own WHERE relkind = 'r' ORDER BY nspname, relname
"""
# Not-null constraints are rows of pg_constraint only since PostgreSQL 18, so they are left out.
_OBJECTS = """
SELECT 'indexes', count(*) FROM pg_index i JOIN own ON own.oid = i.indrelid
UNION ALL SELECT 'constraints', count(*) FROM pg_constraint k JOIN own ON own.oid = k.conrelid
    WHERE k.contype <> 'n'
UNION ALL SELECT 'triggers', count(*) FROM pg_trigger t JOIN own ON own.oid = t.tgrelid
    WHERE NOT t.tgisinternal
UNION ALL SELECT 'sequences', count(*) FROM own WHERE relkind = 'S'
UNION ALL SELECT 'views', count(*) FROM own WHERE relkind IN ('v', 'm')
UNION ALL SELECT 'functions', count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT 'policies', count(*) FROM pg_policy p JOIN own ON own.oid = p.polrelid
UNION ALL SELECT 'rules', count(*) FROM pg_rewrite w JOIN own ON own.oid = w.ev_class
    WHERE w.rulename <> '_RETURN'
UNION ALL SELECT 'types', count(*) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      -- Made by CREATE TYPE or DOMAIN: no table's row, no array, no multirange that comes with its range.
      AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c' OR (t.typtype = 'b' AND t.typcategory <> 'A'))
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
                      AND d.objid = t.oid AND d.deptype = 'e')
UNION ALL SELECT 'large objects', count(*) FROM pg_largeobject_metadata
"""
_SEQUENCES = """
SELECT own.nspname, own.relname, s.seqincrement FROM own JOIN pg_sequence s ON s.seqrelid = own.oid
ORDER BY own.nspname, own.relname
"""
_SEQUENCES_AT_ONCE = 100
_GRANTS = """
SELECT count(*) FROM own WHERE EXISTS (
    SELECT 1 FROM aclexplode(own.relacl) AS acl WHERE acl.grantee <> own.relowner)
"""


def measure(
    connection: Connection[Any], *, limit_bytes: int, digested: Collection[str] | None = None
) -> Contents:
    """Rows of every table, digests of those up to `limit_bytes`, and the number of objects by kind.

    The digest of a table is the sum over its rows of a 64-bit hash of the row's text: no order, no index,
    no memory, one scan. With `digested`, exactly those tables get one (a restored table is smaller than
    the one it was dumped from, so its size would decide otherwise).
    """
    from psycopg import sql

    for key, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [key, value])
    tables: dict[str, int] = {}
    digests: dict[str, str] = {}
    for schema, table, size_bytes in connection.execute(_OWN + _TABLES).fetchall():
        key = f"{schema}.{table}"
        wanted = size_bytes <= limit_bytes if digested is None else key in digested
        # The alias stands for the whole row; it must not be the name of a column.
        digest = (
            'sum(hashtextextended("deploy whole row"::text COLLATE "C", 0)::numeric)::text'
            if wanted
            else "NULL"
        )
        row = connection.execute(
            sql.SQL('SELECT count(*), {} FROM ONLY {} AS "deploy whole row"').format(
                sql.SQL(digest), sql.Identifier(schema, table)
            )
        ).fetchone()
        assert row is not None  # noqa: S101 – an aggregate without GROUP BY has one row
        tables[key] = int(row[0])
        if wanted:
            digests[key] = str(row[1] or "0")
    objects = {str(kind): int(count) for kind, count in connection.execute(_OWN + _OBJECTS).fetchall()}
    return Contents(tables, digests, objects)


def next_numbers(connection: Connection[Any]) -> dict[str, int]:
    """What every sequence gives next (beyond its bounds where it is at its end), in a few statements.

    A sequence stands in no snapshot: this is of now, whatever the transaction sees of the tables.
    """
    from psycopg import sql

    found: dict[str, int] = {}
    all_of_them = connection.execute(_OWN + _SEQUENCES).fetchall()
    for first in range(0, len(all_of_them), _SEQUENCES_AT_ONCE):
        parts = [
            sql.SQL("SELECT {}, last_value::numeric + CASE WHEN is_called THEN {} ELSE 0 END FROM {}").format(
                sql.Literal(f"{schema}.{name}"), sql.Literal(increment), sql.Identifier(schema, name)
            )
            for schema, name, increment in all_of_them[first : first + _SEQUENCES_AT_ONCE]
        ]
        for key, number in connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall():
            found[str(key)] = int(number)
    return found


def spans(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, list[int]]:
    """Between which numbers each sequence stood from one reading to the other.

    One that was set back meanwhile (setval, CYCLE) may have stood elsewhere; it is rare, and a backup that is
    taken again has the span right.
    """
    return {key: sorted((number, after[key])) for key, number in before.items() if key in after}


def applied_migrations(connection: Connection[Any]) -> dict[str, list[str]]:
    """Applied migrations by app, in the order they were applied; empty without Django's table."""
    there = connection.execute("SELECT to_regclass('django_migrations') IS NOT NULL").fetchone()
    if not there or not there[0]:
        return {}
    found: dict[str, list[str]] = {}
    for app, name in connection.execute("SELECT app, name FROM django_migrations ORDER BY id").fetchall():
        found.setdefault(app, []).append(name)
    return found


def extensions(connection: Connection[Any]) -> dict[str, str]:
    """Installed extensions and their versions."""
    return {
        str(name): str(version)
        for name, version in connection.execute(
            "SELECT extname, extversion FROM pg_extension ORDER BY extname"
        ).fetchall()
    }


def granted_objects(connection: Connection[Any]) -> int:
    """How many tables, views and sequences carry grants to others than their owner."""
    row = connection.execute(_OWN + _GRANTS).fetchone()
    return int(row[0]) if row else 0
