"""Looks at PostgreSQL's own counters, past Django's cursor, so that the observer does not observe itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .observed import Table

_FORCED_FLUSH_SINCE = 150000  # pg_stat_force_next_flush()

# A copy that was never analysed has no row count but what its own statistics have seen come in; where even
# they are missing (CREATE DATABASE … TEMPLATE), small tables are counted.
_COUNTED_BYTES = 4 * 1024**2
_TABLES = """SELECT c.oid::bigint, n.nspname, c.relname,
    greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::bigint, pg_total_relation_size(c.oid),
    c.relkind <> 'p' AND pg_relation_size(c.oid) = 0
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relname <> 'django_migrations'"""
_FILES = "SELECT oid::bigint, pg_relation_filenode(oid)::bigint FROM pg_class WHERE oid = ANY(%s)"
_LOCKS = """SELECT relation::bigint, mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted
    AND locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_COUNTERS = """SELECT relid::bigint, coalesce(seq_scan, 0),
    coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0),
    n_tup_ins + n_tup_upd + n_tup_del, n_tup_upd + n_tup_del,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
    FROM {view} RIGHT JOIN (SELECT) one ON true"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment: (scans, rows read, rows written, of them not added) by relation, and the
    log's position.
    """

    wal: int
    by_table: dict[int, tuple[int, int, int, int]]

    def since(self, before: Reading) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
        """Rows read (0 for a scan that found none), rows written, and of these those that were there before,
        since `before`, by relation.
        """
        scanned, written, changed = {}, {}, {}
        for oid, (scans, read, wrote, touched) in self.by_table.items():
            old = before.by_table.get(oid, (0, 0, 0, 0))
            if touched > old[3]:
                changed[oid] = touched - old[3]
            if scans > old[0] or read > old[1]:
                scanned[oid] = read - old[1]
            if wrote > old[2]:
                written[oid] = wrote - old[2]
        return scanned, written, changed


def unbound(connection: BaseDatabaseWrapper) -> str:
    """Why row security does not bind the role that rehearses, though it may bind the site's; "" if it does.

    https://www.postgresql.org/docs/current/ddl-rowsecurity.html
    """
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        superuser, bypasses = cursor.fetchone()
    if not (superuser or bypasses):
        return ""
    return f"{'superuser' if superuser else 'BYPASSRLS'}, whom no row security binds"


def ask(connection: BaseDatabaseWrapper, query: str, params: list[Any] | None = None) -> list[Any]:
    """Run `query` on the raw psycopg connection; its rows."""
    with connection.connection.cursor() as cursor:
        return list(cursor.execute(query, params).fetchall())


def tables(connection: BaseDatabaseWrapper) -> dict[int, Table]:
    """The project's tables and materialized views by relation, with rows and bytes (PostgreSQL)."""
    if connection.vendor != "postgresql":
        return {}
    connection.ensure_connection()
    found = {}
    for oid, schema, name, rows, size, empty in ask(connection, _TABLES):
        if not rows and not empty and size <= _COUNTED_BYTES:
            quoted = ".".join(connection.ops.quote_name(part) for part in (schema, name))
            rows = ask(connection, f"SELECT count(*) FROM {quoted}")[0][0]  # noqa: S608 – quoted above
        found[oid] = Table(name, rows, size, is_empty=empty)
    return found


def files(connection: BaseDatabaseWrapper, oids: list[int]) -> dict[int, int]:
    """The file (relfilenode) of each relation: a new one means that it was rewritten."""
    return {oid: file or 0 for oid, file in ask(connection, _FILES, [oids])}


def held_locks(connection: BaseDatabaseWrapper) -> list[tuple[int, str]]:
    """(relation, mode) of every lock on a relation that this session holds now."""
    return ask(connection, _LOCKS)


def read_counters(connection: BaseDatabaseWrapper, *, settled: bool = False) -> Reading:
    """What the open transaction has done so far; with `settled`, what this database has seen in all.

    Outside of a transaction a session's counts reach the shared statistics within a second, or at once when
    asked (PostgreSQL 15, https://www.postgresql.org/docs/current/monitoring-stats.html); older servers
    show nothing here.
    """
    if settled and connection.connection.info.server_version >= _FORCED_FLUSH_SINCE:
        ask(connection, "SELECT pg_stat_force_next_flush()")
    view = "pg_stat_user_tables" if settled else "pg_stat_xact_user_tables"
    rows = ask(connection, _COUNTERS.format(view=view))
    return Reading(rows[0][5], {row[0]: row[1:5] for row in rows if row[0] is not None})
