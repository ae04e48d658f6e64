"""Single tables of a SQLite file, into a file of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


def copy_tables(source: Path, target: Path, tables: Sequence[str]) -> None:
    """Make tables of `source`, with rows and indexes, in the empty file `target`; no views, no triggers."""
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("ATTACH DATABASE ? AS saved", [str(source)])
        for table in tables:
            connection.execute(_statements(connection, "table", table)[0])
            columns = ", ".join(
                _quoted(name)
                for name, hidden in connection.execute(
                    "SELECT name, hidden FROM pragma_table_xinfo(?, 'saved')", [table]
                )
                if not hidden  # generated columns take no value
            )
            name = _quoted(table)
            connection.execute(
                f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM saved.{name}"  # noqa: S608 – a name can't be bound
            )
            for statement in _statements(connection, "index", table):
                connection.execute(statement)
        connection.commit()


def _statements(connection: sqlite3.Connection, kind: str, table: str) -> list[str]:
    found = connection.execute(
        "SELECT sql FROM saved.sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL",
        [kind, table],
    )
    return [str(row[0]) for row in found.fetchall()]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
