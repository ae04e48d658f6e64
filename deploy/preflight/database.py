"""The database: reachable within the limit, of a supported version, and what a release would migrate."""

from __future__ import annotations

import time

from django.db import Error as DatabaseError
from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from deploy.conf import DeployConf
from deploy.databases.client_tools import OLDEST_SUPPORTED
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Step

from .check import Check
from .connection import engine, reading

UNREACHABLE = FindingType(
    "deploy.P041",
    "error",
    "The database {alias} cannot be reached: {reason}",
    "Check DATABASES[{alias!r}]: host, port, user, network; then: python manage.py preflight --only database",
)
TOO_OLD = FindingType(
    "deploy.P042",
    "error",
    "The database {alias} is too old: {reason}",
    "Upgrade the server to PostgreSQL {oldest} or newer.",
)
PENDING = FindingType(
    "deploy.P043",
    "info",
    "{count} migrations are pending, of {apps}.",
    "python manage.py migrategate check",
)


class DatabaseCheck(Check):
    name = "database"
    looks_at = "reachable, of a supported version; pending migrations"
    fast = True

    def run(self, conf: DeployConf, step: Step) -> None:
        step.facts["engine"] = engine(conf)
        began = time.monotonic()
        try:
            with reading(conf) as connection:
                step.facts["version"] = _version(connection)
                step.facts["connect_seconds"] = round(time.monotonic() - began, 4)
                pending = _pending(connection)
        except Refusal as refusal:  # no file yet: everything is pending
            step.extend(refusal.findings)
            pending = [f"{app}.{name}" for app, name in sorted(MigrationLoader(None).graph.nodes)]
        except NotSupportedError as error:
            step.add(TOO_OLD(alias=conf.database, reason=_one_line(error), oldest=OLDEST_SUPPORTED))
            return
        except DatabaseError as error:
            step.add(UNREACHABLE(alias=conf.database, reason=_one_line(error)))
            return
        step.facts["pending"] = pending
        if pending:
            apps = ", ".join(sorted({name.partition(".")[0] for name in pending}))
            step.add(PENDING(count=len(pending), apps=apps))


def _version(connection: BaseDatabaseWrapper) -> str:
    connection.ensure_connection()
    return ".".join(str(part) for part in connection.get_database_version())


def _pending(connection: BaseDatabaseWrapper) -> list[str]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
