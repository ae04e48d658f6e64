"""Exchange two databases of one PostgreSQL server by name, atomically."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.reporting.findings import Refusal

from .postgresql import IN_USE, connect_maintenance, exists, literal

if TYPE_CHECKING:
    from psycopg import Connection

_T = TypeVar("_T")
_ATTEMPTS = 4  # of up to 5 s each: so long PostgreSQL waits in a RENAME for others to leave the database
_ENDING_EVERY_SECONDS = 0.05
# The settings that PostgreSQL keeps as a list of quoted names (src/include/utils/guc.h, GUC_LIST_QUOTE).
_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}
)


def swap(alias: str, *, live: str, new: str, old: str) -> list[str]:
    """Rename `live` to `old` and `new` to `live` in one transaction; only the latter when there is no `live`.

    ALTER DATABASE … RENAME is a catalog update and may run in a transaction block (only CREATE DATABASE,
    DROP DATABASE and SET TABLESPACE may not), so there is no moment without a database of the live name:
    whoever is killed in between has changed nothing, and who connects meanwhile waits for the commit.
    The new database takes over the owner, the access and the settings of the live one (ALTER DATABASE … SET
    and ALTER ROLE … IN DATABASE … SET).

    PostgreSQL renames no database in use. The connections to both are ended while the renames wait: by then
    they hold a lock that keeps new ones out, so a pool that reconnects at once does not win the race.

    Returns:
        The settings that our role may not set, without their values; empty where all were taken over.

    Raises:
        Refusal: deploy.D008; nothing was renamed.
    """

    def exchange(connection: Connection[Any]) -> list[str]:
        # A commit that is flushed to disk flushes all that was restored before it, however it was written.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'local', true)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        if not exists(connection, live):
            _rename(connection, new, live)
            return []
        _rename(connection, live, old)
        _rename(connection, new, live)
        return _take_over(connection, source=old, target=live)

    return _unused(alias, (live, new), exchange)


def rename(alias: str, before: str, after: str) -> None:
    """Rename a database, ending the connections to it; never in the place of another one.

    Raises:
        Refusal: deploy.D008.
        psycopg.errors.DuplicateDatabase: `after` is taken.
    """
    _unused(alias, (before,), lambda connection: _rename(connection, before, after))


def _unused(alias: str, names: Sequence[str], act: Callable[[Connection[Any]], _T]) -> _T:
    """What `act` returns, in one transaction, with nobody connected to the databases `names`."""
    import psycopg

    with connect_maintenance(alias) as connection:
        for _ in range(_ATTEMPTS):
            try:
                with _ending_connections(alias, names), connection.transaction():
                    return act(connection)
            except psycopg.errors.ObjectInUse:
                continue
        users = connection.execute(
            # Of another role's process we see little; the server's own (autovacuum) have no role.
            "SELECT DISTINCT concat(coalesce(usename, backend_type, 'a process of the server'),"
            " ' (' || nullif(application_name, '') || ')', ', pid ', pid)"
            " FROM pg_stat_activity WHERE datname = ANY(%s)",
            [list(names)],
        ).fetchall()
    named = "; ".join(str(user) for (user,) in users) or "prepared transactions"
    raise Refusal(IN_USE(name=names[0], users=named, quoted=literal(names[0])))


def _rename(connection: Connection[Any], before: str, after: str) -> None:
    from psycopg import sql

    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after))
    )


@contextmanager
def _ending_connections(alias: str, names: Sequence[str]) -> Iterator[None]:
    """End the connections to these databases, again and again, for the length of the block."""
    stopped = threading.Event()

    def end(connection: Connection[Any]) -> None:
        while True:
            _terminate(connection, names)
            if stopped.wait(_ENDING_EVERY_SECONDS):
                return

    with connect_maintenance(alias) as connection:
        _terminate(connection, names)
        thread = threading.Thread(target=end, args=[connection], name="end-connections", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


def _terminate(connection: Connection[Any], names: Sequence[str]) -> None:
    """End the connections that our role may end; those that it may not are left for the rename to find."""
    import psycopg

    pids = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = ANY(%s)", [list(names)])
    for (pid,) in pids.fetchall():
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def _take_over_access(connection: Connection[Any], *, source: str, target: str) -> None:
    """Who may connect, and how many: a dump of one database holds neither."""
    from psycopg import sql

    row = connection.execute(
        "SELECT datconnlimit, datacl IS NOT NULL FROM pg_database WHERE datname = %s", [source]
    ).fetchone()
    assert row is not None  # noqa: S101 – it was renamed in this transaction
    database = sql.Identifier(target)
    connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(database, sql.Literal(row[0])))
    if not row[1]:
        return
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    granted = connection.execute(
        "SELECT a.grantee = 0, coalesce(r.rolname, ''), a.privilege_type, a.is_grantable"
        " FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee"
        " WHERE d.datname = %s",
        [source],
    ).fetchall()
    for public, role, privilege, grantable in granted:
        connection.execute(
            sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                sql.SQL(privilege),
                database,
                sql.SQL("PUBLIC") if public else sql.Identifier(role),
                sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            )
        )


def _take_over(connection: Connection[Any], *, source: str, target: str) -> list[str]:
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
    _take_over_access(connection, source=source, target=target)
    return list(_take_over_settings(connection, source=source, target=target))


def _take_over_settings(connection: Connection[Any], *, source: str, target: str) -> Iterator[str]:
    """Set what was set for the database, for everybody or for one role in it; yields what was refused."""
    import psycopg
    from psycopg import sql

    settings = connection.execute(
        "SELECT a.rolname, s.setting FROM pg_db_role_setting r"
        " CROSS JOIN unnest(r.setconfig) WITH ORDINALITY AS s(setting, place)"
        " JOIN pg_database d ON d.oid = r.setdatabase LEFT JOIN pg_roles a ON a.oid = r.setrole"
        " WHERE d.datname = %s AND (r.setrole = 0 OR a.oid IS NOT NULL)"
        " ORDER BY a.rolname NULLS FIRST, s.place",
        [source],
    ).fetchall()
    for role, setting in settings:
        key, _, value = str(setting).partition("=")
        # Stored as one text, but a list of quoted names is one only when each is given by itself.
        values = next(csv.reader([value], skipinitialspace=True), []) if key in _LISTS else [value]
        whose = sql.SQL("DATABASE {}").format(sql.Identifier(target))
        if role is not None:
            whose = sql.SQL("ROLE {} IN {}").format(sql.Identifier(role), whose)
        try:
            # A savepoint: another role's settings, or a superuser's, are no reason to stay on the old data.
            with connection.transaction():
                connection.execute(
                    sql.SQL("ALTER {} SET {} TO {}").format(
                        whose,
                        sql.Identifier(*key.split(".")),
                        sql.SQL(", ").join(sql.Literal(part) for part in values or [""]),
                    )
                )
        except (psycopg.ProgrammingError, psycopg.DataError):
            yield key if role is None else f"{key} of the role {role}"
