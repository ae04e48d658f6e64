"""A database beside the live one, made of another: as a whole (TEMPLATE, a file's copy) or of its schema."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from django.db import connections

from deploy.reporting.findings import FindingType, Refusal

from . import postgresql as server
from .child_process import running
from .client_tools import find_tool, libpq_environment

NOT_COPIED = FindingType(
    "deploy.M049",
    "error",
    "The database {source} could not be copied: {reason}.",
    "Take a copy that nobody is connected to, or restore a backup instead:\n"
    "python manage.py restoredb latest --into deploy_scratch_look\n"
    "python manage.py migrategate rehearse --scratch deploy_scratch_look",
    why="CREATE DATABASE … TEMPLATE needs a source without sessions "
    "(https://www.postgresql.org/docs/current/manage-ag-templatedbs.html).",
)
# pg_dump brings the planner's statistics from here on.
_STATISTICS_SINCE = 18
_RECORDS = "django_migrations"


def copy_whole(alias: str, source: str, name: str) -> None:
    """Make database (or file) `name` with all that `source` holds, on the server of `alias`.

    Raises:
        Refusal: deploy.M049; deploy.D006 without the right to create databases.
    """
    if connections[alias].vendor == "sqlite":
        if not Path(source).is_file():
            raise Refusal(NOT_COPIED(source=source, reason="there is no such file"))
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(name)) as new:
            old.backup(new)
        return
    import psycopg
    from psycopg import sql

    with server.connect_maintenance(alias) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(source)
        )
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            raise Refusal(NOT_COPIED(source=source, reason=reason)) from error


def copy_schema(alias: str, name: str, *, pg_bin: str = "") -> bool:
    """Make database `name` with the schema of `alias`, its migration records and, from PostgreSQL 18 on,
    the planner's statistics; True when these came along. No other row is in it.

    Raises:
        Refusal: deploy.M049; deploy.D001, D003 when a client program is missing.
    """
    source = server.database_name(alias)
    with server.connect(alias) as connection:
        major = server.major(connection)
        locale = server.locale(connection)
        row = connection.execute("SELECT to_regclass(%s)", [_RECORDS]).fetchone()
        has_records = bool(row and row[0])
    dump = find_tool("pg_dump", server_major=major, pg_bin=pg_bin)
    restore = find_tool("pg_restore", server_major=max(major, 0), pg_bin=pg_bin)
    statistics = (
        dump.major >= _STATISTICS_SINCE and restore.major >= dump.major and major >= _STATISTICS_SINCE
    )
    with server.connect_maintenance(alias) as connection:
        server.create(connection, name, locale)
    passes = [["--schema-only"]]
    if has_records:
        passes.append(["--data-only", f"--table={_RECORDS}"])
    if statistics:
        passes.append(["--statistics-only"])
    settings = connections[alias].settings_dict
    try:
        for part in passes:
            _pipe(
                [str(dump.path), "--format=custom", "--compress=0", "--no-owner", "--no-password", *part],
                [str(restore.path), "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={name}"],
                (libpq_environment(settings), libpq_environment(settings, name=name)),
                (source, name),
            )
    except BaseException:
        drop(alias, name)
        raise
    return statistics


def drop(alias: str, name: str) -> None:
    """Drop a database (or file) that `copy_whole` or `copy_schema` made, if it is there."""
    if connections[alias].vendor == "sqlite":
        for suffix in ("", "-wal", "-shm", "-journal", ".migrate-lock"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)
        return
    with server.connect_maintenance(alias) as connection:
        server.drop(connection, name)


def _pipe(
    dump: list[str],
    restore: list[str],
    environments: tuple[dict[str, str], dict[str, str]],
    names: tuple[str, str],
) -> None:
    with (
        running(dump, environment=environments[0], stdout=True) as giving,
        running(restore, environment=environments[1], stdin=True) as taking,
    ):
        try:
            shutil.copyfileobj(giving.stdout, taking.stdin)
            taking.stdin.close()
        except BrokenPipeError:
            pass  # pg_restore has ended, and says why below
        codes = taking.finish(), giving.finish()
        for program, code in ((giving, codes[1]), (taking, codes[0])):
            if code:
                raise Refusal(NOT_COPIED(source=names[0], reason=program.reason), exit_code=1)
