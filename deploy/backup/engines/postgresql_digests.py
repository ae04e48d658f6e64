"""The digest of a table's rows: of all of them, or of a sample that is the same after a restore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable, Composed

DIGEST_METHOD = (
    "sum of hashtextextended(ROW(columns by name)::text, 0) over the rows, without an order; of a table"
    " over {limit} bytes only over those rows whose key's hash is a multiple of the table's number in samples"
)

# A 64-bit hash of a key of one column, where there is a faster one than its text's. All are the same on every
# version from 14 on and on every machine of the same byte order.
_HASHES = {
    "smallint": "hashint8extended({}::bigint, 0)",
    "integer": "hashint8extended({}::bigint, 0)",
    "bigint": "hashint8extended({}, 0)",
    "uuid": "uuid_hash_extended({}, 0)",
}

# What pg_dump dumps the data of: plain tables and partitions, not those that an extension brings along.
# Columns by name: a child table gets its columns in another order by a restore when its parent got one later.
# Without a primary key, the columns of fixed length tell rows apart well enough to choose some.
_TABLES = """
SELECT nspname::text, relname::text, pg_table_size(own.oid),
    array(SELECT attname::text FROM pg_attribute a WHERE a.attrelid = own.oid AND attnum > 0
          AND NOT attisdropped ORDER BY attname::text COLLATE "C"),
    array(SELECT attname::text FROM pg_index i
          CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = own.oid AND a.attnum = k.attnum
          WHERE i.indrelid = own.oid AND i.indisprimary AND place <= i.indnkeyatts ORDER BY place),
    array(SELECT attname::text FROM pg_attribute a WHERE a.attrelid = own.oid AND attnum > 0
          AND NOT attisdropped AND attlen > 0 ORDER BY attname::text COLLATE "C"),
    (SELECT format_type(atttypid, NULL) FROM pg_index i
     JOIN pg_attribute a ON a.attrelid = own.oid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = own.oid AND i.indisprimary AND i.indnkeyatts = 1),
    greatest(0, (SELECT reltuples FROM pg_class c WHERE c.oid = own.oid))
FROM own WHERE relkind = 'r' ORDER BY nspname, relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are dumped.

    Attributes:
        size_bytes: with TOAST, without indexes.
        columns: all of them, by name. key: those by which a sample is chosen; none: there can be no sample.
        key_type: of a primary key of one column. rows: as the planner estimates.
    """

    schema: str
    name: str
    size_bytes: int
    columns: tuple[str, ...]
    key: tuple[str, ...]
    key_type: str = ""
    rows: float = 0

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def tables(connection: Connection[Any], own: str) -> list[Table]:
    """All tables whose rows are dumped, by name. `own` is the WITH clause that says which they are."""
    return [
        Table(schema, name, size_bytes, tuple(columns), tuple(primary or fixed), key_type or "", rows)
        for schema, name, size_bytes, columns, primary, fixed, key_type, rows in connection.execute(
            own + _TABLES
        )
    ]


def sample_of(table: Table, limit_bytes: int) -> int | None:
    """How many rows one row of the digest stands for: 1 for a table up to `limit_bytes`, for a larger one the
    power of two that brings it under the limit; None when it is too large and has nothing to choose by.
    """
    if table.size_bytes <= limit_bytes:
        return 1
    if not table.key or not limit_bytes:
        return None
    return 1 << (-(-table.size_bytes // limit_bytes) - 1).bit_length()


def count_and_digest(table: Table, sample: int | None) -> Composed:
    """One scan that counts the rows and, unless `sample` is None, digests them (see `sample_of`).

    A row's text is made only of those that are chosen.
    """
    from psycopg import sql

    digest: Composable = sql.SQL("NULL")
    # The sum of a bigint is a numeric that does not overflow, and adds faster than one of numerics.
    if sample is not None:
        digest = sql.SQL('sum(hashtextextended({}::text COLLATE "C", 0))').format(_row(table.columns))
        if sample > 1:
            digest = sql.SQL("{} FILTER (WHERE {} & {} = 0)").format(
                digest, _key_hash(table), sql.Literal(sample - 1)
            )
    return sql.SQL("SELECT count(*), {} FROM ONLY {}").format(
        digest, sql.Identifier(table.schema, table.name)
    )


def _row(columns: tuple[str, ...]) -> Composable:
    from psycopg import sql

    return sql.SQL("ROW({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))


def _key_hash(table: Table) -> Composable:
    from psycopg import sql

    if table.key_type in _HASHES and len(table.key) == 1:
        return sql.SQL(_HASHES[table.key_type]).format(sql.Identifier(table.key[0]))
    return sql.SQL('hashtextextended({}::text COLLATE "C", 0)').format(_row(table.key))
