"""Which tables' rows are dumped by which of several pg_dump processes, and the arguments that say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .postgresql_digests import Table

if TYPE_CHECKING:
    from psycopg import Connection

# Another pg_dump reads the whole catalog first, some tenth of a second, in which one COPY has read as much.
WORTH_BYTES = 32 * 1024**2

_OWNED_SEQUENCES = """
SELECT n.nspname::text, c.relname::text FROM pg_depend d
JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND (tn.nspname::text, t.relname::text) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
ORDER BY 1, 2
"""


def share_out(tables: Sequence[Table], jobs: int) -> list[tuple[Table, ...]]:
    """The large tables whose rows the second and further processes dump, at most `jobs` - 1 groups; the first
    process dumps everything else.

    The largest table first, each to whoever has the least to do: the first has all the small tables already.
    """
    loads = [0] * jobs
    groups: list[list[Table]] = [[] for _ in range(jobs)]
    loads[0] = sum(table.size_bytes for table in tables if table.size_bytes < WORTH_BYTES)
    large = [table for table in tables if table.size_bytes >= WORTH_BYTES]
    for table in sorted(large, key=lambda table: (-table.size_bytes, str(table))):
        least = min(range(jobs), key=lambda job: (loads[job], job))
        loads[least] += table.size_bytes
        groups[least].append(table)
    return [tuple(group) for group in groups[1:] if group]


def exact(schema: str, name: str) -> str:
    """The pattern of pg_dump that matches exactly this table: within double quotes nothing has a meaning of
    its own (https://www.postgresql.org/docs/current/app-psql.html, Patterns).
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def main_arguments(groups: Sequence[Sequence[Table]]) -> list[str]:
    """For the first process: everything but the rows of these tables."""
    return [f"--exclude-table-data={exact(table.schema, table.name)}" for group in groups for table in group]


def part_arguments(connection: Connection[Any], group: Sequence[Table]) -> Iterator[str]:
    """For one of the others: the rows of these tables and nothing else.

    pg_dump brings a table's own sequences along, which the first process dumps already: left out by name.
    """
    yield "--data-only"
    yield from (f"--table={exact(table.schema, table.name)}" for table in group)
    names = [[table.schema for table in group], [table.name for table in group]]
    for schema, name in connection.execute(_OWNED_SEQUENCES, names):
        yield f"--exclude-table-data={exact(schema, name)}"
