"""Measure a PostgreSQL database: rows, digests and objects, the same before a dump and after a restore."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deploy.backup.contents import Contents

from .postgresql_definitions import LARGE_OBJECTS, definitions, large_objects
from .postgresql_digests import Table, count_and_digest, sample_of, tables

if TYPE_CHECKING:
    from psycopg import Connection

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

# Everything but temporary and system objects, and those that an extension brings along.
_OWN = """
WITH own AS (
    SELECT c.oid, c.relkind, c.relname, n.nspname, c.relowner, c.relacl
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
)
"""
# Not-null constraints are rows of pg_constraint only since PostgreSQL 18, so they are left out. So is what a
# failed CREATE INDEX CONCURRENTLY has left behind: pg_dump leaves it out (getIndexes in pg_dump.c).
_OBJECTS = """
SELECT 'indexes', count(*) FROM pg_index i JOIN own ON own.oid = i.indrelid
    WHERE (i.indisvalid OR own.relkind = 'p') AND i.indisready
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
SELECT own.nspname, own.relname, s.seqincrement, s.seqmin, s.seqmax
FROM own JOIN pg_sequence s ON s.seqrelid = own.oid
ORDER BY own.nspname, own.relname
"""
_SEQUENCES_AT_ONCE = 100
_GRANTS = """
SELECT count(*) FROM own WHERE EXISTS (
    SELECT 1 FROM aclexplode(own.relacl) AS acl WHERE acl.grantee <> own.relowner)
"""


@dataclass(frozen=True, slots=True)
class Position:
    """What a sequence gives next (beyond its bounds where it is at its end), its step and its bounds."""

    next_number: int
    increment: int
    lowest: int
    highest: int


def own_tables(connection: Connection[Any]) -> list[Table]:
    """The tables whose rows are dumped."""
    return tables(connection, _OWN)


def measure(connection: Connection[Any], tables: Sequence[Table], *, limit_bytes: int) -> Contents:
    """Rows and digests of `tables`, which are all `own_tables`, and the number of objects by kind.

    The digest of a table is the sum over its rows of a 64-bit hash of the row's text: no order, no index,
    no memory, one scan; of one that is larger than `limit_bytes`, over a sample (see `sample_of`).
    """
    # The dump has the server's other processors, and whoever uses it.
    connection.execute("SELECT set_config('max_parallel_workers_per_gather', '0', false)")
    return _measure(
        connection,
        tables,
        lambda table: sample_of(table, limit_bytes),
        defined=True,
        large_objects_bytes=limit_bytes,
    )


def measure_like(
    connection: Connection[Any],
    *,
    digested: Collection[str],
    samples: Mapping[str, int],
    defined: bool,
    large_objects: bool,
) -> Contents:
    """The same of a restored database: exactly the tables in `digested`, with exactly the `samples` (a
    restored table is smaller than the one it was dumped from, so its size would decide otherwise), with
    definitions and the content of large objects where asked for.
    """

    def sample(table: Table) -> int | None:
        return samples.get(str(table), 1) if str(table) in digested else None

    return _measure(
        connection,
        own_tables(connection),
        sample,
        defined=defined,
        large_objects_bytes=sys.maxsize if large_objects else None,
    )


def measure_small(
    connection: Connection[Any], *, digested: Collection[str], samples: Mapping[str, int], limit_bytes: int
) -> tuple[Contents, frozenset[str]]:
    """`measure_like`, but soon done: tables over `limit_bytes` have the planner's estimate and no digest.

    Returns:
        What was found, and the names of the tables that were estimated.
    """
    own = own_tables(connection)
    estimates = {str(table): int(table.rows) for table in own if table.size_bytes > limit_bytes}
    found = _measure(
        connection,
        [table for table in own if str(table) not in estimates],
        lambda table: samples.get(str(table), 1) if str(table) in digested else None,
        defined=False,
        large_objects_bytes=None,
    )
    return replace(found, tables=found.tables | estimates), frozenset(estimates)


def _measure(
    connection: Connection[Any],
    own: Sequence[Table],
    choose: Callable[[Table], int | None],
    *,
    defined: bool,
    large_objects_bytes: int | None,
) -> Contents:
    for key, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [key, value])
    # First, as near to the snapshot as can be: the server shows a definition as of now, whatever the
    # transaction sees (src/backend/utils/adt/ruleutils.c), as pg_dump gets it too.
    found = definitions(connection, _OWN) if defined else {}
    if large_objects_bytes is not None:
        content = large_objects(connection, limit_bytes=large_objects_bytes)
        if content is not None:
            found[LARGE_OBJECTS] = content
    rows: dict[str, int] = {}
    digests: dict[str, str] = {}
    samples: dict[str, int] = {}
    for table in own:
        sample = choose(table)
        row = connection.execute(count_and_digest(table, sample)).fetchone()
        assert row is not None  # noqa: S101 – an aggregate without GROUP BY has one row
        rows[str(table)] = int(row[0])
        if sample is not None:
            digests[str(table)] = str(row[1] or "0")
            if sample > 1:
                samples[str(table)] = sample
    objects = {str(kind): int(count) for kind, count in connection.execute(_OWN + _OBJECTS).fetchall()}
    return Contents(rows, digests, objects, samples=samples, definitions=found)


def sequences(connection: Connection[Any]) -> dict[str, Position]:
    """Where every sequence stands, in a few statements.

    A sequence stands in no snapshot: this is of now, whatever the transaction sees of the tables.
    """
    from psycopg import sql

    found: dict[str, Position] = {}
    all_of_them = connection.execute(_OWN + _SEQUENCES).fetchall()
    for first in range(0, len(all_of_them), _SEQUENCES_AT_ONCE):
        parts = [
            sql.SQL("SELECT {}::int, last_value, is_called FROM {}").format(
                sql.Literal(place), sql.Identifier(*all_of_them[place][:2])
            )
            for place in range(first, min(first + _SEQUENCES_AT_ONCE, len(all_of_them)))
        ]
        for place, last_value, is_called in connection.execute(sql.SQL(" UNION ALL ").join(parts)):
            schema, name, increment, lowest, highest = all_of_them[place]
            number = last_value + (increment if is_called else 0)
            found[f"{schema}.{name}"] = Position(number, increment, lowest, highest)
    return found


def spans(before: Mapping[str, Position], after: Mapping[str, Position]) -> dict[str, list[int]]:
    """Between which numbers each sequence stood from one reading to the other.

    One that was set back meanwhile (setval, TRUNCATE … RESTART IDENTITY, CYCLE) may have stood anywhere:
    its span is all that it can give, up to one step beyond its end.
    """
    found = {}
    for key, first in before.items():
        if (last := after.get(key)) is None:
            continue
        found[key] = sorted((first.next_number, last.next_number))
        if (last.next_number - first.next_number) * first.increment < 0 or first.increment != last.increment:
            step = max(abs(first.increment), abs(last.increment))
            found[key] = [min(first.lowest, last.lowest) - step, max(first.highest, last.highest) + step]
    return found


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
