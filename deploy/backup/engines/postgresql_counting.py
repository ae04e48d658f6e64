"""Rows and digests of the dump's own snapshot, counted while it is dumped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.backup.contents import Contents

from .postgresql_contents import measure, own_tables

if TYPE_CHECKING:
    from psycopg import Connection

# A row's header and line pointer (https://www.postgresql.org/docs/current/storage-page-layout.html).
_OVERHEAD_OF_ROW_BYTES = 28


class Counting:
    """Measures the snapshot, in a thread of its own.

    Attributes:
        expected_bytes: about how much pg_dump will write; 0 until the tables are known.
    """

    def __init__(self, connection: Connection[Any], limit_bytes: int) -> None:
        self.expected_bytes = 0
        self._connection = connection
        self._limit_bytes = limit_bytes

    def run(self) -> Contents:
        """With a lock on every table from the beginning: pg_dump has such locks too, but a change of a table
        that waits for pg_dump's would be done before we come to count it; and a table that was written anew
        since is empty for our snapshot.
        """
        from psycopg import sql

        tables = own_tables(self._connection)
        self.expected_bytes = sum(
            max(0, table.size_bytes - int(table.rows * _OVERHEAD_OF_ROW_BYTES)) for table in tables
        )
        if tables:
            names = sql.SQL(", ").join(
                sql.SQL("ONLY {}").format(sql.Identifier(table.schema, table.name)) for table in tables
            )
            self._connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
        return measure(self._connection, tables, limit_bytes=self._limit_bytes)
