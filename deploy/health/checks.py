"""What `/readyz` and `/startupz` ask: does the database answer, and is this image's schema there."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
import timeit
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import ClassVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from health_check.base import HealthCheck, HealthCheckResult
from health_check.exceptions import HealthCheckException, ServiceUnavailable

from deploy import conf as configuration
from deploy.reporting.redaction import redact

from .sharing import Attempt, SharedCheck

logger = logging.getLogger("deploy.health")

READY_LIMIT_SECONDS = 2.0
STARTUP_LIMIT_SECONDS = 5.0
FRESH_SECONDS = 0.5


class SharedHealthCheck(HealthCheck):  # type: ignore[misc]  # the package ships no types
    """A check of django-health-check that answers within its limit whatever hangs, and logs only changes.

    The package's own `get_result` logs every failure with a traceback; a probe fails every few seconds for
    as long as a database is away, and one line when that begins and one when it ends say as much.
    """

    shared: ClassVar[SharedCheck]
    _failing: ClassVar[bool] = False

    async def run(self) -> None:
        """Wait for the shared answer. Raises what the check raised, or TimeoutError at the limit."""
        await asyncio.wait_for(asyncio.wrap_future(self.shared.ask()), self.shared.limit_seconds)

    async def get_result(self, executor: Executor | None = None) -> HealthCheckResult:  # noqa: ARG002 – the package's signature; the check has its own thread
        """The result with a bare `ServiceUnavailable` for any failure: the reason is for the log alone."""
        began = timeit.default_timer()
        error: HealthCheckException | None = None
        try:
            await self.run()
        except TimeoutError:
            error = self._failed(f"no answer within {self.shared.limit_seconds:g} s")
        except Exception as fault:  # noqa: BLE001 – whatever keeps it from an answer makes it unready
            error = self._failed(f"{type(fault).__name__}: {fault}")
        else:
            self._recovered()
        return HealthCheckResult(check=self, error=error, time_taken=timeit.default_timer() - began)

    def _failed(self, reason: str) -> HealthCheckException:
        if not self._failing:
            type(self)._failing = True
            logger.warning("%s fails: %s", type(self).__name__, redact(" ".join(reason.split())))
        return ServiceUnavailable("unavailable")

    def _recovered(self) -> None:
        if self._failing:
            type(self)._failing = False
            logger.warning("%s is well again", type(self).__name__)


@contextmanager
def probe_connection(attempt: Attempt, limit_seconds: float) -> Iterator[BaseDatabaseWrapper]:
    """A connection of this probe alone to the release's database, closed at the end whatever happens.

    Not the worker's own: that one may be in the middle of a hung query, and asking over a new connection
    proves that new workers can connect. On PostgreSQL every wait has its limit: the connection attempt
    (`connect_timeout`), the statement (`statement_timeout`, set for the transaction only, so that it is
    right behind a pooler too), and the silence of a dead network (the attempt's socket, see `Attempt.cut`).
    """
    conf, _ = configuration.read()
    entry = dict(connections.settings[conf.database])
    options = {key: value for key, value in (entry.get("OPTIONS") or {}).items() if key != "pool"}
    engine = type(connections[conf.database])
    if engine.vendor == "postgresql":
        options["connect_timeout"] = max(2, round(limit_seconds))  # libpq takes no less than 2
        options["application_name"] = "deploy-health"
    connection = engine({**entry, "CONN_MAX_AGE": 0, "OPTIONS": options}, alias=conf.database)
    # Django's migration recorder asks by alias, not over the connection it is given. `connections` is kept
    # per thread, and this thread is the attempt's own.
    connections[conf.database] = connection
    try:
        connection.ensure_connection()
        if connection.vendor == "postgresql":
            attempt.watch(connection.connection.fileno())
            connection.set_autocommit(False)
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {int(limit_seconds * 1000)}")
        yield connection
    finally:
        connection.close()


def ask_database(attempt: Attempt) -> None:
    """`SELECT 1`, answered. Raises the driver's error otherwise."""
    with probe_connection(attempt, READY_LIMIT_SECONDS) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def ask_schema(attempt: Attempt) -> None:
    """Every migration of this image is applied, but for those it defers. A newer schema is fine.

    Raises:
        ServiceUnavailable: naming what is missing.
    """
    conf, _ = configuration.read()
    with probe_connection(attempt, STARTUP_LIMIT_SECONDS) as connection:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    names = [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    missing = [name for name in names if name not in conf.deferred_migrations]
    if missing:
        raise ServiceUnavailable(f"not applied: {', '.join(missing)}")


@dataclasses.dataclass
class DatabaseAnswers(SharedHealthCheck):
    """The release's database answers a query over a new connection within two seconds."""

    timeout = datetime.timedelta(seconds=READY_LIMIT_SECONDS)
    shared = SharedCheck(ask_database, limit_seconds=READY_LIMIT_SECONDS, fresh_seconds=FRESH_SECONDS)


@dataclasses.dataclass
class SchemaIsThere(SharedHealthCheck):
    """Every migration of this image is applied. Once true it stays true and asks no more: what is applied
    later belongs to a newer image, and a rollback that reverses migrations stops this one first."""

    timeout = datetime.timedelta(seconds=STARTUP_LIMIT_SECONDS)
    shared = SharedCheck(ask_schema, limit_seconds=STARTUP_LIMIT_SECONDS, fresh_seconds=FRESH_SECONDS)
    latched: ClassVar[bool] = False

    async def run(self) -> None:
        """As the base's, until it has succeeded once."""
        if not self.latched:
            await super().run()
            type(self).latched = True
