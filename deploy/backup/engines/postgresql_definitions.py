"""How everything in a PostgreSQL database is defined, as one digest for each kind of object.

A restore runs the text that pg_dump made of the server's parse trees, and the server may show that again in
other words: `status IN ('a', 'b')` on a varchar comes back with its casts at other places. So expressions are
compared without casts, parentheses and white space, and only between servers of the same major version.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

LARGE_OBJECTS = "large objects"
# Each of them is opened to know its size.
MOST_LARGE_OBJECTS = 10_000
_READ = 0x40000  # INV_READ (src/include/libpq/libpq-fs.h)

# Of each object: kind, name, what is compared as it is, and what is compared as an expression.
# Not in it, because a restore may name them otherwise: what partitions got from their parent's constraints
# and triggers. Nor not-null constraints (rows only since PostgreSQL 18), which columns tell.
_DEFINITIONS = """
SELECT 'tables', own.oid::regclass::text,
    concat_ws('|', own.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
        array(SELECT o FROM unnest(c.reloptions) o ORDER BY o), pg_get_partkeydef(own.oid),
        array(SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = own.oid ORDER BY inhseqno)),
    coalesce(pg_get_expr(c.relpartbound, own.oid), '')
FROM own JOIN pg_class c ON c.oid = own.oid WHERE own.relkind IN ('r', 'p', 'f')
UNION ALL SELECT CASE own.relkind WHEN 'c' THEN 'types' ELSE 'columns' END,
    own.oid::regclass || '.' || quote_ident(a.attname),
    concat_ws('|', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
        a.attstorage, a.attcompression, nullif(a.attcollation, t.typcollation)::regcollation::text),
    coalesce(pg_get_expr(d.adbin, own.oid), '')
FROM own JOIN pg_attribute a ON a.attrelid = own.oid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = own.oid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND own.relkind IN ('r', 'p', 'f', 'v', 'm', 'c')
UNION ALL SELECT 'indexes', i.indexrelid::regclass::text,
    concat_ws('|', i.indisclustered, i.indisreplident), pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN own ON own.oid = i.indrelid
WHERE (i.indisvalid OR own.relkind = 'p') AND i.indisready
UNION ALL SELECT 'constraints', own.oid::regclass || '.' || quote_ident(k.conname), k.contype::text,
    pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN own ON own.oid = k.conrelid WHERE k.contype <> 'n' AND k.conparentid = 0
UNION ALL SELECT 'triggers', own.oid::regclass || '.' || quote_ident(t.tgname), t.tgenabled::text,
    pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN own ON own.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL SELECT 'views', own.oid::regclass::text,
    concat_ws('|', own.relkind, array(SELECT o FROM unnest(c.reloptions) o ORDER BY o)),
    pg_get_viewdef(own.oid)
FROM own JOIN pg_class c ON c.oid = own.oid WHERE own.relkind IN ('v', 'm')
UNION ALL SELECT 'rules', own.oid::regclass || '.' || quote_ident(w.rulename), w.ev_enabled::text,
    pg_get_ruledef(w.oid)
FROM pg_rewrite w JOIN own ON own.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL SELECT 'policies', own.oid::regclass || '.' || quote_ident(p.polname),
    concat_ws('|', p.polcmd, p.polpermissive,
        array(SELECT CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END FROM unnest(p.polroles) r
              ORDER BY 1)),
    concat_ws(' | ', pg_get_expr(p.polqual, own.oid), pg_get_expr(p.polwithcheck, own.oid))
FROM pg_policy p JOIN own ON own.oid = p.polrelid
UNION ALL SELECT 'functions', p.oid::regprocedure::text,
    concat_ws('|', p.prokind, pg_get_function_result(p.oid), l.lanname, p.provolatile, p.proisstrict,
        p.prosecdef, p.proleakproof, p.proparallel, p.procost, p.prorows, p.proconfig, p.probin, p.prosrc),
    concat_ws(' | ', pg_get_function_arguments(p.oid), pg_get_function_sqlbody(p.oid))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                  AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT 'types', t.oid::regtype::text,
    concat_ws('|', t.typtype, t.typnotnull, format_type(nullif(t.typbasetype, 0), t.typtypmod),
        array(SELECT enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY enumsortorder),
        (SELECT rngsubtype::regtype FROM pg_range r WHERE r.rngtypid = t.oid)),
    concat_ws(' | ', t.typdefault, (
        SELECT string_agg(conname || ' ' || pg_get_constraintdef(k.oid), ' | ' ORDER BY conname)
        FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND t.typtype IN ('e', 'd', 'r')
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
                  AND d.objid = t.oid AND d.deptype = 'e')
UNION ALL SELECT 'sequences', own.oid::regclass::text,
    concat_ws('|', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle), ''
FROM own JOIN pg_sequence s ON s.seqrelid = own.oid
"""
KINDS = (
    "tables",
    "columns",
    "indexes",
    "constraints",
    "triggers",
    "views",
    "rules",
    "policies",
    "functions",
    "types",
    "sequences",
)

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_CAST = (
    rf"::{_NAME}(?:\.{_NAME})?(?: (?:varying|precision|year|month|day|hour|minute|second|to)\b)*"
    r"(?:\(\d+(?:, ?-?\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*"
)
_TOKEN = re.compile(rf"""(?P<cast>{_CAST})|'(?:[^']|'')*'|"(?:[^"]|"")*"|[\w$]+|[^\s\w]""")


def definitions(connection: Connection[Any], own: str) -> dict[str, str]:
    """By kind, the SHA-256 of the definitions of all objects of it; a kind without objects has one too.

    Args:
        connection: with `pg_catalog` as its search_path, so that every other name is a whole one.
        own: the WITH clause that says which relations are meant.
    """
    rows: dict[str, list[tuple[str, str, str]]] = {kind: [] for kind in KINDS}
    for kind, name, exact, expression in connection.execute((own + _DEFINITIONS).encode()):
        rows[kind].append((name, exact, normalized(expression or "")))
    return {
        kind: hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest() for kind, found in rows.items()
    }


def normalized(expression: str) -> str:
    """An expression without casts, parentheses and white space: what a restore leaves as it was."""
    return " ".join(
        found[0] for found in _TOKEN.finditer(expression) if not found["cast"] and found[0] not in "()"
    )


def large_objects(connection: Connection[Any], *, limit_bytes: int) -> str | None:
    """The digest of all large objects, by number and content; None where they are too many or too large."""
    row = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
    assert row is not None  # noqa: S101 – an aggregate has one row
    if row[0] > MOST_LARGE_OBJECTS:
        return None
    row = connection.execute(
        "SELECT coalesce(sum(lo_lseek64(lo_open(oid, %s), 0, 2)), 0) FROM pg_largeobject_metadata", [_READ]
    ).fetchone()
    assert row is not None  # noqa: S101 – the same
    if row[0] > limit_bytes:
        return None
    row = connection.execute(
        "SELECT coalesce(sum(hashtextextended("
        "oid || ' ' || encode(sha256(lo_get(oid)), 'hex'), 0)::numeric), 0) FROM pg_largeobject_metadata"
    ).fetchone()
    assert row is not None  # noqa: S101 – the same
    return str(row[0])
