"""The live schema as one hash: tables, columns, constraints, indexes; no data, no statistics."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import connections

from .plan import require_supported

# Names are spelled out by PostgreSQL itself (format_type, pg_get_*def), so equal schemas give equal rows.
# Column order is left out on purpose: a reversed DROP COLUMN brings its column back at the end.
_POSTGRESQL = (
    """SELECT 'column', n.nspname, c.relname, c.relkind::text, a.attname, format_type(a.atttypid,
    a.atttypmod),
              a.attnotnull::text, a.attidentity::text, a.attgenerated::text,
              coalesce(pg_get_expr(d.adbin, d.adrelid), ''), coalesce(co.collname, '')
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       LEFT JOIN pg_collation co ON co.oid = a.attcollation
       WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {schemas}""",
    """SELECT 'constraint', n.nspname, c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid),
              k.convalidated::text
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid =
       c.relnamespace
       WHERE k.contype <> 'n' AND {schemas}""",
    """SELECT 'index', n.nspname, c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid::text
       FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE {schemas}""",
    """SELECT 'trigger', n.nspname, c.relname, pg_get_triggerdef(t.oid)
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE NOT t.tgisinternal AND {schemas}""",
)
_USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def schema_rows(alias: str) -> frozenset[tuple[str, ...]]:
    """One tuple of text per column, constraint, index and trigger of the live schema of `alias`.

    Raises:
        Refusal: deploy.D002 for an unsupported engine.
    """
    require_supported(alias)
    connection = connections[alias]
    rows: set[tuple[str, ...]] = set()
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')")
            rows.update(_texts(row) for row in cursor.fetchall())
            cursor.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%%'"
            )
            for (table,) in cursor.fetchall():
                rows.update(_sqlite_table(cursor, str(table)))
        else:
            for query in _POSTGRESQL:
                cursor.execute(query.format(schemas=_USER_SCHEMAS))
                rows.update(_texts(row) for row in cursor.fetchall())
    return frozenset(rows)


def schema_fingerprint(alias: str) -> str:
    """SHA-256 hex of the live schema of `alias` (not of its data)."""
    return hashlib.sha256(json.dumps(sorted(schema_rows(alias))).encode()).hexdigest()


def difference(before: frozenset[tuple[str, ...]], after: frozenset[tuple[str, ...]]) -> str:
    """What two schemas do not share, in a few words; empty when they are equal."""
    lost = [f"{' '.join(row[:1] + row[2:])} is gone" for row in sorted(before - after)]
    new = [f"{' '.join(row[:1] + row[2:])} is new" for row in sorted(after - before)]
    parts = [" ".join(text.split())[:160] for text in lost + new]
    return "; ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")


def _sqlite_table(cursor: Any, table: str) -> set[tuple[str, ...]]:
    rows: set[tuple[str, ...]] = set()
    quoted = '"' + table.replace('"', '""') + '"'
    for pragma in ("table_xinfo", "foreign_key_list", "index_list"):
        cursor.execute(f"PRAGMA {pragma}({quoted})")
        # The first field is a running number: position, not structure.
        rows.update(_texts((pragma, "main", table, *row[1:])) for row in cursor.fetchall())
    return rows


def _texts(row: Any) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in row)
