"""Locks of a statement that no transaction keeps until they can be seen: a second session looks on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

# Short enough to see a lock that somebody would notice, long enough to leave the server alone.
_EVERY_SECONDS = 0.003
_LOCKS = """SELECT DISTINCT relation::bigint, mode FROM pg_locks WHERE pid = %s AND granted
    AND locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class SecondSession:
    """Polls the locks of the session `pid` over a connection of its own (psycopg), which it closes."""

    def __init__(self, connection: Any, pid: int) -> None:
        self.connection = connection
        self.pid = pid

    @contextmanager
    def looking(self) -> Iterator[set[tuple[int, str]]]:
        """Yield the (relation, mode) pairs seen so far, complete after the block."""
        import psycopg

        seen: set[tuple[int, str]] = set()
        done = threading.Event()

        def poll() -> None:
            with suppress(psycopg.Error):  # nothing seen is said: the locks are then read from the text
                while not done.wait(_EVERY_SECONDS):
                    seen.update(self.connection.execute(_LOCKS, [self.pid]).fetchall())

        thread = threading.Thread(target=poll, name="rehearsal-locks", daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()

    def close(self) -> None:
        self.connection.close()
