"""The one session that may change a schema: an advisory lock, and a lock_timeout on every statement.

PostgreSQL queues every later reader behind a waiting ACCESS EXCLUSIVE, so a migration that waits stops the
site (https://www.postgresql.org/docs/current/explicit-locking.html). It therefore gives up and tries again.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal

from .effect import Effect
from .effects import effects
from .presence import index_state
from .run_findings import APPLIER_BUSY

_NOT_BLOCKING = {"create_index", "drop_index", "reindex"}


def lock_key(conf: DeployConf) -> int:
    """The advisory lock's number: one per project (PostgreSQL keeps them apart per database)."""
    digest = hashlib.sha256(f"deploy.gate:{conf.project}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@dataclass
class Applier:
    """A session that holds the right to change the schema of `connection`.

    `statement` is the last one that was sent; `leftovers` are INVALID indexes that were dropped or valid ones
    that a killed run had finished.
    """

    connection: BaseDatabaseWrapper
    limit_seconds: float
    deadline: float
    take: Callable[[BaseDatabaseWrapper], None]
    statement: str = ""
    leftovers: list[str] = field(default_factory=list)
    _session: Any = None

    def arm(self) -> None:
        """Put lock_timeout on the session and remember it: a reconnected one is armed again."""
        if self.connection.vendor != "postgresql":
            return
        self.connection.ensure_connection()
        if self._session is not None and self.connection.connection is not self._session:
            self.take(self.connection)
        self._session = self.connection.connection
        self._timeout(self.limit_seconds)

    def disarm(self) -> None:
        """Give the session back as it was."""
        if self.connection.vendor == "postgresql" and self.connection.connection is self._session:
            with self._session.cursor() as cursor:
                cursor.execute("RESET lock_timeout")

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        """Wrap a statement (see Django's `execute_wrapper`)."""
        if self.connection.vendor != "postgresql":
            return execute(sql, params, many, context)
        if self.connection.connection is not self._session:
            self.arm()
        self.statement = str(sql)
        if "CONCURRENTLY" not in self.statement.upper():
            result = execute(sql, params, many, context)
            if "lock_timeout" in f"{sql} {params}".lower() or "discard" in self.statement.lower():
                self._timeout(self.limit_seconds)  # no migration may wait without it
            return result
        concurrent = [e for e in effects(self.statement) if e.concurrently and e.kind in _NOT_BLOCKING]
        if not concurrent or self.connection.in_atomic_block:
            return execute(sql, params, many, context)
        if all(effect.kind == "create_index" and self._is_done(effect) for effect in concurrent):
            return None
        # It blocks neither reader nor writer while it waits for old snapshots, but a lock_timeout there
        # would leave an INVALID index behind; the time for the whole run bounds it instead.
        self._timeout(0, whole_seconds=max(self.deadline - time.monotonic(), self.limit_seconds))
        try:
            return execute(sql, params, many, context)
        finally:
            self._timeout(self.limit_seconds)

    def _timeout(self, seconds: float, *, whole_seconds: float | None = None) -> None:
        # A value that psycopg would bind is not allowed in SET; set_config takes one.
        session = self.connection.connection
        if session is None or session.closed:
            return
        with session.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(seconds * 1000)}ms"])
            if whole_seconds is not None:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, false)", [f"{round(whole_seconds * 1000)}ms"]
                )
            elif not self.connection.in_atomic_block:
                cursor.execute("RESET statement_timeout")

    def _is_done(self, effect: Effect) -> bool:
        """An earlier, killed run finished this index; an INVALID one is dropped so that it can be
        built again.
        """
        if not effect.name:
            return False
        quote = self.connection.ops.quote_name
        with self.connection.connection.cursor() as cursor:
            state = index_state(cursor, effect)
            if state == "same":
                self.leftovers.append(f"kept {effect.name}")
                return True
            if state == "invalid":
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(effect.name)}")
                self.leftovers.append(f"dropped INVALID {effect.name}")
        return False


@contextmanager
def applier(conf: DeployConf, alias: str) -> Iterator[Applier]:
    """Be the only one of all processes that changes the schema of `alias`; others wait.

    Raises:
        Refusal: deploy.M050 when another held it for longer than DEPLOY['APPLY_TIMEOUT_SECONDS'].
    """
    connection = connections[alias]
    deadline = time.monotonic() + conf.apply_timeout_seconds
    if connection.vendor == "sqlite":
        with _file_lock(conf, connection, deadline):
            yield Applier(connection, conf.statement_lock_timeout_seconds, deadline, lambda _: None)
        return
    connection.ensure_connection()
    _take_lock(conf, connection, deadline)
    one = Applier(
        connection, conf.statement_lock_timeout_seconds, deadline, lambda c: _take_lock(conf, c, deadline)
    )
    one.arm()
    try:
        with connection.execute_wrapper(one):
            yield one
    finally:
        if connection.connection is not None and not connection.connection.closed:
            one.disarm()
            with connection.connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock_key(conf)])


def _take_lock(conf: DeployConf, connection: BaseDatabaseWrapper, deadline: float) -> None:
    key = lock_key(conf)
    while True:
        with connection.connection.cursor() as cursor:
            row = cursor.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
            if row[0]:
                return
            if time.monotonic() >= deadline:
                raise Refusal(_busy(conf, cursor, key), exit_code=1)
        time.sleep(random.uniform(0.05, 0.25))  # noqa: S311 – jitter, not a secret


def _busy(conf: DeployConf, cursor: Any, key: int) -> Any:
    row = cursor.execute(
        "SELECT a.pid, a.application_name, extract(epoch FROM now() - a.backend_start)::int FROM pg_locks l"
        " JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid AND l.objsubid = 1",
        [(key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF],
    ).fetchone()
    pid, name, age = row or ("?", "unknown", 0)
    holder = f"pid {pid}, application {name or 'without a name'}, connected for {age} s"
    return APPLIER_BUSY(seconds=conf.apply_timeout_seconds, holder=holder, pid=pid)


@contextmanager
def _file_lock(conf: DeployConf, connection: BaseDatabaseWrapper, deadline: float) -> Iterator[None]:
    """SQLite has no advisory locks: a file beside the database; the kernel frees it when its holder dies."""
    import fcntl

    name = str(connection.settings_dict["NAME"])
    if name == ":memory:" or name.startswith("file:"):
        yield
        return
    path = Path(f"{name}.migrate-lock")
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    finding = APPLIER_BUSY(
                        seconds=conf.apply_timeout_seconds, holder=f"holder of {path.name}", pid="?"
                    )
                    raise Refusal(finding, exit_code=1) from None
                time.sleep(0.1)
        yield
