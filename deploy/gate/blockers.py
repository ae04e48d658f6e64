"""Who stands in the way of a statement that got no lock."""

from __future__ import annotations

from .effects import effects
from .session import Applier


def blocker_of(session: Applier) -> str:
    """Who holds a lock on the tables of the statement that got none: pid, application, age; no query text."""
    tables = [effect.table for effect in effects(session.statement) if effect.table]
    with session.connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT a.pid, a.application_name, a.state, extract(epoch FROM now() - "
            "a.xact_start)::int AS age"
            " FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.granted AND l.database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL"
            " AND c.relkind IN ('r', 'p') AND (c.relname = ANY(%s) OR %s) ORDER BY age DESC LIMIT 3",
            [tables, not tables],
        )
        rows = cursor.fetchall()
    found = [
        f"pid {pid} ({name or 'no application name'}, {state}, transaction open for {age} s)"
        for pid, name, state, age in rows
    ]
    return "; ".join(found) or "a session that has gone meanwhile"
