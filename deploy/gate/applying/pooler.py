"""Is this session one server session, or does a pooler lend it another for every transaction?

Behind PgBouncer in transaction mode neither a session advisory lock nor a lock_timeout belongs to the client:
both stay on a server session that somebody else gets next (https://www.pgbouncer.org/features.html).
"""

from __future__ import annotations

import threading
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from deploy.reporting.findings import Refusal

from ..run_findings import POOLED

_TRIES = 5
_PATIENCE_SECONDS = 10.0


def backend_pid(session: Any) -> int:
    """The server process that answers now. `session` is psycopg's."""
    with session.cursor() as cursor:
        return int(cursor.execute("SELECT pg_backend_pid()").fetchone()[0])


def require_own_session(connection: BaseDatabaseWrapper) -> int:
    """The pid of the server process that serves this connection, and nobody else.

    A direct connection, or one through a proxy that passes the protocol on, answers with the pid that it was
    greeted with. Where a pooler has greeted it instead, a second connection begins a transaction: one that
    gets the first one's server process, or makes it get another, shows that sessions are shared.

    Raises:
        Refusal: deploy.M064, exit code 2. Nothing has been set or locked on any session.
    """
    pid = backend_pid(connection.connection)
    if pid == connection.connection.info.backend_pid:
        return pid
    for _ in range(_TRIES):
        other = _of_another_client(connection, pid)
        if other is not None:
            raise Refusal(POOLED(seen=other))
    return pid


def require_same(connection: BaseDatabaseWrapper, pid: int) -> None:
    """Refuse to go on when another server process answers than the one that has the lock.

    Raises:
        Refusal: deploy.M064, exit code 2.
    """
    now = backend_pid(connection.connection)
    if now != pid:
        raise Refusal(POOLED(seen=f"server process {pid} answered first, then {now}"))


def _of_another_client(connection: BaseDatabaseWrapper, pid: int) -> str | None:
    """What shows that sessions are shared, or None."""
    params = connection.get_connection_params()
    seen: list[str] = ["a second connection got no answer"]

    def look() -> None:
        from psycopg import Error, connect

        try:
            with connect(**params) as other:
                theirs = backend_pid(other)  # in a transaction, which keeps its server process
                mine = backend_pid(connection.connection)
                if theirs == pid:
                    seen[:] = [f"two connections were served by the same server process {pid}"]
                elif mine != pid:
                    seen[:] = [f"server process {pid} answered first, then {mine}"]
                else:
                    seen.clear()
        except Error as error:
            seen[:] = [f"a second connection says: {' '.join(str(error).split())[:100]}"]

    thread = threading.Thread(target=look, name="deploy-pooler-probe", daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    return seen[0] if seen else None
