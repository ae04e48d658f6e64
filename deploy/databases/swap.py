"""Exchange two databases of one PostgreSQL server by name, atomically."""

from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING, Any

from deploy.reporting.findings import Refusal

from .postgresql import IN_USE

if TYPE_CHECKING:
    from psycopg import Connection

_ATTEMPTS = 10
_PATIENCE_SECONDS = 2.0
# The settings that PostgreSQL keeps as a list of quoted names (src/include/utils/guc.h, GUC_LIST_QUOTE).
_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}
)


def swap(connection: Connection[Any], *, live: str, new: str, old: str) -> None:
    """Rename `live` to `old` and `new` to `live` in one transaction.

    ALTER DATABASE … RENAME is a catalog update and may run in a transaction block (only CREATE DATABASE,
    DROP DATABASE and SET TABLESPACE may not), so there is no moment without a database of the live name:
    whoever is killed in between has changed nothing, and who connects meanwhile waits for the commit.
    The new database takes over the owner and the settings (ALTER DATABASE … SET) of the live one.

    PostgreSQL renames no database in use: its connections are ended first, again for each attempt, since a
    busy pool reconnects at once.

    Raises:
        Refusal: deploy.D008; nothing was renamed.
    """
    import psycopg

    for _ in range(_ATTEMPTS):
        _end_connections(connection, live)
        _end_connections(connection, new)
        try:
            with connection.transaction():
                _rename(connection, live, old)
                _rename(connection, new, live)
                _take_over(connection, source=old, target=live)
        except psycopg.errors.ObjectInUse:
            continue
        return
    users = connection.execute(
        "SELECT DISTINCT concat(usename, ' (', application_name, ')') FROM pg_stat_activity"
        " WHERE datname = %s",
        [live],
    ).fetchall()
    raise Refusal(
        IN_USE(name=live, users=", ".join(str(user) for (user,) in users) or "prepared transactions")
    )


def _rename(connection: Connection[Any], before: str, after: str) -> None:
    from psycopg import sql

    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after))
    )


def _end_connections(connection: Connection[Any], name: str) -> None:
    import psycopg

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            left = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            ).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            return  # a superuser's connection: the rename will tell whether it is still there
        if not left:
            return
        time.sleep(0.02)


def _take_over(connection: Connection[Any], *, source: str, target: str) -> None:
    from psycopg import sql

    owner = connection.execute(
        "SELECT pg_get_userbyid(s.datdba) FROM pg_database s, pg_database t"
        " WHERE s.datname = %s AND t.datname = %s AND s.datdba <> t.datdba"
        " AND pg_has_role(current_user, s.datdba, 'MEMBER')",
        [source, target],
    ).fetchone()
    if owner:
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(target), sql.Identifier(owner[0]))
        )
    settings = connection.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase"
        " WHERE d.datname = %s AND r.setrole = 0",
        [source],
    ).fetchall()
    for (setting,) in settings:
        key, _, value = str(setting).partition("=")
        # Stored as one text, but a list of quoted names is one only when each is given by itself.
        values = next(csv.reader([value], skipinitialspace=True), []) if key in _LISTS else [value]
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                sql.Identifier(target),
                sql.Identifier(*key.split(".")),
                sql.SQL(", ").join(sql.Literal(part) for part in values or [""]),
            )
        )
