"""Measure a PostgreSQL database: rows, digests and objects, the same before a dump and after a restore."""

from __future__ import annotations

from collections.abc import Collection
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
UNION ALL SELECT 'large objects', count(*) FROM pg_largeobject_metadata
"""
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
