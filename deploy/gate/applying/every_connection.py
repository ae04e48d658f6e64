"""No connection of this process waits for a lock without a limit while migrations are applied.

A RunPython may write through another alias, or in a thread, whose connection is its own: those got no
lock_timeout from the session that migrates (getsentry/sentry 79052).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from .limits import answers


@contextmanager
def limited(limit_seconds: float, *, but: BaseDatabaseWrapper) -> Iterator[None]:
    """Put a lock_timeout on every PostgreSQL connection of Django's that is open or will be opened.

    Those of this thread get their own value back at the end; `but` is left to its owner.
    """
    touched: list[tuple[BaseDatabaseWrapper, Any]] = []

    def limit(connection: BaseDatabaseWrapper) -> None:
        if connection.vendor == "postgresql" and connection is not but and connection.connection is not None:
            with connection.connection.cursor() as cursor:
                value = f"{round(limit_seconds * 1000)}ms"
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [value])
            touched.append((connection, connection.connection))

    def created(connection: BaseDatabaseWrapper, **_: object) -> None:
        limit(connection)

    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            limit(connection)
    connection_created.connect(created, weak=False, dispatch_uid="deploy.gate.applying.every_connection")
    try:
        yield
    finally:
        connection_created.disconnect(dispatch_uid="deploy.gate.applying.every_connection")
        here = {id(connection) for connection in connections.all(initialized_only=True)}
        for connection, session in touched:
            if id(connection) in here and connection.connection is session and answers(session):
                with session.cursor() as cursor:
                    cursor.execute("RESET lock_timeout")
