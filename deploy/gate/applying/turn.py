"""One applier at a time: a session advisory lock on PostgreSQL, a locked file beside a SQLite database."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal

from ..run_findings import APPLIER_BUSY


def lock_key(conf: DeployConf) -> int:
    """The advisory lock's number: one per project (PostgreSQL keeps them apart per database)."""
    digest = hashlib.sha256(f"deploy.gate:{conf.project}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def take(conf: DeployConf, connection: BaseDatabaseWrapper, deadline: float) -> None:
    """Hold the lock for as long as this session lives; the others are asked again until `deadline`.

    Raises:
        Refusal: deploy.M050 with the session that has it.
    """
    key = lock_key(conf)
    while True:
        with connection.connection.cursor() as cursor:
            row = cursor.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
            if row[0]:
                return
            if time.monotonic() >= deadline:
                raise Refusal(_busy(conf, cursor, key), exit_code=1)
        time.sleep(random.uniform(0.05, 0.25))  # noqa: S311 – jitter, not a secret


def give_back(conf: DeployConf, connection: BaseDatabaseWrapper) -> None:
    """Let the next one in; a session that is gone has done so by itself."""
    session = connection.connection
    if session is not None and not session.closed:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [lock_key(conf)])


def _busy(conf: DeployConf, cursor: Any, key: int) -> Any:
    row = cursor.execute(
        "SELECT a.pid, a.application_name, extract(epoch FROM now() - a.backend_start)::int FROM pg_locks l"
        " JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid AND l.objsubid = 1",
        [(key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF],
    ).fetchone()
    pid, name, age = row or ("?", "unknown", 0)
    holder = f"pid {pid}, application {name or 'without a name'}, connected for {age or 0} s"
    return APPLIER_BUSY(seconds=conf.apply_timeout_seconds, holder=holder, pid=pid)


@contextmanager
def file_lock(conf: DeployConf, connection: BaseDatabaseWrapper, deadline: float) -> Iterator[None]:
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
