"""The live schema as one hash: tables, columns, constraints, indexes, and what else decides whether a
statement passes (views, functions, triggers, enums, domains, sequences, policies); no data, no statistics.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from django.db import connections

from .graph.plan import require_supported

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
    """SELECT 'trigger', n.nspname, c.relname, pg_get_triggerdef(t.oid), t.tgenabled::text
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE NOT t.tgisinternal AND {schemas}""",
    """SELECT 'table', n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
              c.relrowsecurity::text, c.relforcerowsecurity::text,
              coalesce(pg_get_expr(c.relpartbound, c.oid), ''), coalesce(pg_get_partkeydef(c.oid), '')
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p', 'f') AND {schemas}""",
    # The rule of a view is the view.
    """SELECT 'rule', n.nspname, c.relname, r.rulename, pg_get_ruledef(r.oid), r.ev_enabled::text
       FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE {schemas}""",
    """SELECT 'policy', n.nspname, c.relname, p.polname, p.polcmd::text, p.polpermissive::text,
              coalesce(pg_get_expr(p.polqual, p.polrelid), ''),
              coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
       FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE {schemas}""",
    """SELECT 'sequence', n.nspname, c.relname, format_type(s.seqtypid, NULL), s.seqincrement::text,
              s.seqmin::text, s.seqmax::text, s.seqcycle::text
       FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE {schemas}""",
    # Ordered by a number that ADD VALUE … BEFORE makes a fraction of: only the order counts.
    """SELECT 'enum', n.nspname, t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
       FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
       WHERE {schemas} GROUP BY 1, 2, 3""",
    """SELECT 'domain', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod), t.typnotnull::text,
              coalesce(t.typdefault, ''), coalesce(string_agg(pg_get_constraintdef(k.oid), ','
              ORDER BY k.conname) FILTER (WHERE k.contype = 'c'), '')
       FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
       LEFT JOIN pg_constraint k ON k.contypid = t.oid
       WHERE t.typtype = 'd' AND {schemas} GROUP BY 1, 2, 3, 4, 5, 6""",
    # Those of extensions come and go with them.
    """SELECT 'function', n.nspname, p.oid::regprocedure::text, pg_get_functiondef(p.oid)
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
       WHERE p.prokind IN ('f', 'p', 'w') AND {schemas} AND NOT EXISTS (SELECT 1 FROM pg_depend d
       WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')""",
    """SELECT 'extension', n.nspname, e.extname
       FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
)
_USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def schema_rows(alias: str) -> frozenset[tuple[str, ...]]:
    """One tuple of text per object and column of the live schema of `alias`.

    Raises:
        Refusal: deploy.D002 for an unsupported engine.
    """
    require_supported(alias)
    connection = connections[alias]
    rows: set[tuple[str, ...]] = set()
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view', 'index')"
            )
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
    return fingerprint_of(schema_rows(alias))


def fingerprint_of(rows: frozenset[tuple[str, ...]]) -> str:
    """SHA-256 hex of what `schema_rows` gave."""
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def difference(before: frozenset[tuple[str, ...]], after: frozenset[tuple[str, ...]]) -> str:
    """What two schemas do not share, in a few words; empty when they are equal."""
    lost = [f"{' '.join(row[:1] + row[2:])} is gone" for row in sorted(before - after)]
    new = [f"{' '.join(row[:1] + row[2:])} is new" for row in sorted(after - before)]
    parts = [" ".join(text.split())[:160] for text in lost + new]
    return "; ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")


def in_substance(rows: frozenset[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """The rows without what old code cannot notice: names of constraints and indexes, whether a constraint
    was validated, and the labels of enums (one more is no loss, and none can be taken away).
    """
    found = []
    for row in rows:
        if row[0] == "constraint":
            found.append((*row[:3], row[4], row[5].removesuffix(" NOT VALID")))
        elif row[0] == "index" and len(row) == 5:  # PostgreSQL's
            found.append((*row[:3], re.sub(r"INDEX \S+ ON", "INDEX ON", row[3]), row[4]))
        elif row[0] == "enum":
            found.append(row[:3])
        else:
            found.append(row)
    return tuple(sorted(found))


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
