"""Whole databases of a PostgreSQL server: connect to, create, rename, drop, and lock one by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections

from deploy.reporting.findings import FindingType, Refusal

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

UNREACHABLE = FindingType(
    "deploy.D004",
    "error",
    "The database {name!r} of alias {alias!r} cannot be reached: {reason}.",
    "Check DATABASES[{alias!r}] and that the server runs: python manage.py dbshell --database {alias}",
)
SERVER_TOO_OLD = FindingType(
    "deploy.D005",
    "error",
    "The server runs PostgreSQL {major}; the oldest supported is {oldest}.",
    "Upgrade the server: https://www.postgresql.org/support/versioning/",
)
NO_CREATEDB = FindingType(
    "deploy.D006",
    "error",
    "The role {role!r} may not create databases, so a backup cannot be restored beside the live one.",
    "As a superuser, on Cloud SQL as the user postgres: ALTER ROLE {quoted} CREATEDB;",
)
NOT_CREATED = FindingType(
    "deploy.D007",
    "error",
    "The database {name!r} could not be created: {reason}.",
    "Check the server's locales (SELECT collname FROM pg_collation) and its free disk, then run it again.",
)
IN_USE = FindingType(
    "deploy.D008",
    "error",
    "The database {name!r} is still in use by {users}, whose connections could not be ended.",
    "Stop those clients, or as a superuser: SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = {quoted};",
)
BUSY = FindingType(
    "deploy.D009",
    "error",
    "Another process is already {doing} the database {name!r}.",
    "Wait until it has ended, then run it again.",
)
LOCK_LOST = FindingType(
    "deploy.D011",
    "error",
    "The session that held the lock on the database {name!r} has ended, so nothing was renamed.",
    "See in the server's log what ended it (a restart, a failover, pg_terminate_backend), then run it again.",
    why="Without the lock another process may have dropped or filled the same database meanwhile.",
)

MAX_NAME_BYTES = 63  # NAMEDATALEN - 1; PostgreSQL cuts longer names silently
_MAINTENANCE = "postgres"
# What may end a session of ours that holds a lock or a snapshot while others work, or cut CREATE DATABASE
# short: set for the role or the database, it is meant for the application's requests.
_TIMEOUTS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",  # since PostgreSQL 17
)
# Linux asks after two hours whether the other side is there; firewalls forget an idle connection in minutes.
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
_CREATE_TRIES = 3
_PROVIDERS = {"i": ("icu", "ICU_LOCALE"), "b": ("builtin", "BUILTIN_LOCALE")}
_PROVIDERS_SINCE = 15  # LOCALE_PROVIDER of CREATE DATABASE

_LOCALE_KEYS = (
    "encoding",
    "collate",
    "ctype",
    "provider",
    "locale",
    "rules",
    "version",
    "actual_version",
)
_LOCALE = """
SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
       to_jsonb(d)->>'datlocprovider' AS provider,
       coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS locale,
       to_jsonb(d)->>'daticurules' AS rules, to_jsonb(d)->>'datcollversion' AS version,
       {actual} AS actual_version
FROM pg_database d WHERE datname = current_database()
"""


# Before 15 a database has no version of its own; that of a collation with its locale is the same library's.
_ACTUAL_VERSION = "pg_database_collation_actual_version(d.oid)"
_ACTUAL_VERSION_BEFORE_15 = """(
    SELECT max(pg_collation_actual_version(c.oid)) FROM pg_collation c
    WHERE c.collprovider = 'c' AND c.collcollate = d.datcollate AND c.collencoding IN (-1, d.encoding))"""


def identifier(name: str) -> str:
    """The name of a role or the like, for a statement that a person pastes."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """The text as a value, for a statement that a person pastes."""
    return "'{}'".format(text.replace("'", "''"))


def database_name(alias: str) -> str:
    """The name of the alias's database, as configured or, with a libpq service, as the server says."""
    name = connections[alias].settings_dict.get("NAME")
    if name:
        return str(name)
    with connect(alias) as connection:
        return connection.info.dbname


def connect(alias: str, name: str | None = None, *, autocommit: bool = True) -> Connection[Any]:
    """A connection of its own (no pool, no Django cursor) with the alias's settings; close it.

    No timeout of the server ends it, whatever is set for the role or the database.

    Args:
        alias: of DATABASES.
        name: another database on the same server.
        autocommit: False begins a transaction with the first statement.

    Raises:
        Refusal: deploy.D004; deploy.D005.
    """
    import psycopg
    from psycopg import sql

    from .client_tools import OLDEST_SUPPORTED

    wrapper = connections[alias]
    given = wrapper.get_connection_params()
    role = wrapper.settings_dict.get("OPTIONS", {}).get("assume_role")
    params = {
        **_KEEPALIVES,
        **{key: value for key, value in given.items() if key not in ("context", "cursor_factory")},
    }
    params["application_name"] = "deploy"
    if name is not None:
        params["dbname"] = name
    try:
        connection = psycopg.connect(**params, autocommit=True)
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise Refusal(UNREACHABLE(name=params.get("dbname", ""), alias=alias, reason=reason)) from error
    if major(connection) < OLDEST_SUPPORTED:
        found = major(connection)
        connection.close()
        raise Refusal(SERVER_TOO_OLD(major=found, oldest=OLDEST_SUPPORTED))
    connection.execute(
        "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)", [list(_TIMEOUTS)]
    )
    if role:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    connection.autocommit = autocommit
    return connection


def connect_maintenance(alias: str) -> Connection[Any]:
    """A connection to the server's `postgres` database: databases are created, renamed and locked from it."""
    return connect(alias, _MAINTENANCE)


def limit_lock_wait(connection: Connection[Any], seconds: int) -> None:
    """Let a statement of the connection's transaction fail when it has waited so long for a lock."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds}s"])


def major(connection: Connection[Any]) -> int:
    """The server's major version."""
    return connection.info.server_version // 10000


def exists(connection: Connection[Any], name: str) -> bool:
    """The server has a database of exactly this name."""
    return bool(connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone())


def names_starting_with(connection: Connection[Any], prefix: str) -> list[str]:
    """The databases whose name begins with exactly `prefix` (no patterns), sorted."""
    found = connection.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY datname", [prefix]
    )
    return [str(name) for (name,) in found]


def count_connections(connection: Connection[Any], name: str) -> int:
    """How many clients are connected to the database."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'", [name]
    ).fetchone()
    return int(row[0]) if row else 0


def size_bytes(connection: Connection[Any], name: str) -> int:
    """Of the database on disk; 0 when it is gone, or when our role may not connect to it."""
    row = connection.execute(
        "SELECT pg_database_size(oid) FROM pg_database"
        " WHERE datname = %s AND has_database_privilege(oid, 'CONNECT')",
        [name],
    ).fetchone()
    return int(row[0]) if row else 0


def locale(connection: Connection[Any]) -> dict[str, str | None]:
    """Of the connected database: encoding, collate, ctype, provider (c, i, b; None before PostgreSQL 15), the
    provider's locale, the rules of ICU, the version of the collation that it was made with (`version`, None
    before PostgreSQL 15) and the one that the server has now (`actual_version`); None for C and POSIX.
    """
    actual = _ACTUAL_VERSION if major(connection) >= _PROVIDERS_SINCE else _ACTUAL_VERSION_BEFORE_15
    row = connection.execute(_LOCALE.format(actual=actual).encode()).fetchone()
    assert row is not None  # noqa: S101 – a connection has a database
    return dict(zip(_LOCALE_KEYS, row, strict=True))


def require_createdb(connection: Connection[Any]) -> None:
    """Refuse (deploy.D006) when our role may neither create nor rename databases."""
    may = connection.execute(
        "SELECT rolcreatedb OR rolsuper, rolname FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if may and not may[0]:
        raise Refusal(NO_CREATEDB(role=may[1], quoted=identifier(may[1])))


def create(connection: Connection[Any], name: str, like: Mapping[str, str | None]) -> None:
    """Create an empty database with the encoding and locale of `like` (see `locale`).

    From template0, because template1 may hold objects of its own that a restore would trip over.

    Raises:
        Refusal: deploy.D006 without the privilege; deploy.D007 for any other reason of the server.
    """
    import psycopg
    from psycopg import sql

    require_createdb(connection)
    options = [
        sql.SQL("TEMPLATE template0"),
        sql.SQL("ENCODING {}").format(sql.Literal(like["encoding"])),
        sql.SQL("LC_COLLATE {}").format(sql.Literal(like["collate"])),
        sql.SQL("LC_CTYPE {}").format(sql.Literal(like["ctype"])),
    ]
    options.extend(_provider(like, major(connection), name))
    statement = sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), sql.SQL(" ").join(options))
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise Refusal(NOT_CREATED(name=name, reason=reason)) from error


def create_anew(connection: Connection[Any], name: str, like: Mapping[str, str | None]) -> None:
    """`create` in the place of whatever has the name; hold `locked` for it.

    A server goes on with the CREATE DATABASE of a client that was killed, so what was not there a moment ago
    may be now.

    Raises:
        Refusal: as `create`.
    """
    import psycopg

    for left in range(_CREATE_TRIES, -1, -1):
        drop(connection, name)
        try:
            create(connection, name, like)
        except Refusal as refusal:
            taken = isinstance(
                refusal.__cause__, psycopg.errors.DuplicateDatabase | psycopg.errors.UniqueViolation
            )
            if taken and left:
                continue
            raise
        return


def _provider(like: Mapping[str, str | None], server_major: int, name: str) -> Iterator[Composable]:
    """The options of the locale's provider; without them the server takes its template's."""
    from psycopg import sql

    provider = like.get("provider") or "c"  # a source older than providers had libc
    if provider == "c":
        if server_major >= _PROVIDERS_SINCE:
            yield sql.SQL("LOCALE_PROVIDER libc")
        return
    if provider not in _PROVIDERS:
        raise Refusal(NOT_CREATED(name=name, reason=f"its locale is of the unknown provider {provider!r}"))
    kind, option = _PROVIDERS[provider]
    yield sql.SQL(f"LOCALE_PROVIDER {kind}")
    if like.get("locale"):
        yield sql.SQL(f"{option} {{}}").format(sql.Literal(like["locale"]))
    if like.get("rules"):
        yield sql.SQL("ICU_RULES {}").format(sql.Literal(like["rules"]))


def drop(connection: Connection[Any], name: str) -> None:
    """Drop the database if it is there, ending its connections (FORCE, since PostgreSQL 13)."""
    from psycopg import sql

    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def locked(alias: str, name: str, *, doing: str) -> Iterator[Connection[Any]]:
    """Hold the right to change database `name` among all that ask here; yields the maintenance connection.

    An advisory lock of a session on the `postgres` database (advisory locks are per database): it falls
    with the process that held it.

    Raises:
        Refusal: deploy.D009 when another process has it.
    """
    with connect_maintenance(alias) as connection:
        if not _try_lock(connection, name):
            raise Refusal(BUSY(doing=doing, name=name))
        yield connection


def require_lock(connection: Connection[Any], name: str) -> None:
    """Refuse (deploy.D011) when the session of `locked` for this name has ended, and its lock with it."""
    import psycopg

    try:
        held = connection.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted"
        ).fetchone()
    except psycopg.OperationalError as error:
        raise Refusal(LOCK_LOST(name=name)) from error
    if not held:
        raise Refusal(LOCK_LOST(name=name))


def is_locked(alias: str, name: str) -> bool:
    """Another session holds `locked` for this name right now."""
    with connect_maintenance(alias) as connection:
        return not _try_lock(connection, name)


def _try_lock(connection: Connection[Any], name: str) -> bool:
    key = int.from_bytes(hashlib.sha256(f"deploy:database:{name}".encode()).digest()[:8], "big", signed=True)
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
    return bool(row and row[0])
