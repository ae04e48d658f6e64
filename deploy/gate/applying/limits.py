"""The settings of a session that changes a schema
(https://www.postgresql.org/docs/current/runtime-config-client.html and runtime-config-connection.html).

Every `session` here is psycopg's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

# A value that psycopg would bind is not allowed in SET; set_config takes one. The project's own
# statement_timeout is what RESET would bring: the role's, the database's or the server's.
_PUT = """
SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', coalesce(%s, (
    SELECT reset_val || coalesce(unit, '') FROM pg_settings WHERE name = 'statement_timeout')), false)
"""
# How often the server looks whether a statement still has a client: one that was killed would leave it at
# work, with its locks. Before PostgreSQL 14, and on a Windows server, there is no such check.
_CLIENT_CHECK = "SELECT set_config('client_connection_check_interval', '500ms', false)"
# For asking the server to end a statement, when a signal has ended the wait for it.
_CANCEL_SECONDS = 5.0


def put(session: Any, wait_seconds: float, whole_seconds: float | None = None) -> None:
    """Set lock_timeout, and statement_timeout: to `whole_seconds`, or back to the project's own for None."""
    whole = None if whole_seconds is None else f"{round(whole_seconds * 1000)}ms"
    with session.cursor() as cursor:
        cursor.execute(_PUT, [f"{round(wait_seconds * 1000)}ms", whole])


def watch_client(session: Any) -> None:
    """Let the server end what it does for this client soon after the client is gone."""
    from psycopg import Error

    with suppress(Error), session.cursor() as cursor:
        cursor.execute(_CLIENT_CHECK)


def deadlock_seconds(session: Any) -> float:
    """How long a session waits for a lock before it looks for a circle, and fails if it finds one."""
    with session.cursor() as cursor:  # the unit of this setting is ms
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'")
        return float(cursor.fetchone()[0]) / 1000


def reset(session: Any) -> None:
    """Give the session back as it was."""
    from psycopg import Error

    with session.cursor() as cursor:
        cursor.execute("RESET lock_timeout; RESET statement_timeout")
    with suppress(Error), session.cursor() as cursor:
        cursor.execute("RESET client_connection_check_interval")


def answers(session: Any) -> bool:
    """It can be asked something: it is open, in the middle of no statement and in no failed transaction."""
    from psycopg.pq import TransactionStatus

    able = {TransactionStatus.IDLE, TransactionStatus.INTRANS}
    return not session.closed and session.info.transaction_status in able


def abandon(session: Any) -> None:
    """End what the server does for the session, and the session: a signal has ended the wait for it."""
    from psycopg import Error

    if not session.closed:
        with suppress(Error):  # gone: its statement goes with it
            session.cancel_safe(timeout=_CANCEL_SECONDS)
        session.close()
