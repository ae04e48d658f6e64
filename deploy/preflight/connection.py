"""A connection to the database that can't hang for long and can't change anything."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from deploy.conf import DeployConf
from deploy.databases.client_tools import UNSUPPORTED_ENGINE
from deploy.reporting.findings import FindingType, Refusal

SQLITE_MISSING = FindingType(
    "deploy.P040",
    "info",
    "The SQLite file {name} does not exist yet; the first migration makes it.",
    "python manage.py migrate",
)


def engine(conf: DeployConf) -> str:
    """`postgresql` or `sqlite`, as Django's `vendor` has it.

    Raises:
        Refusal: deploy.D002.
    """
    name = str(connections.settings[conf.database]["ENGINE"])
    # Engines built on Django's own (PostGIS, psqlextra, prometheus' wrappers) keep the vendor.
    vendor = load_backend(name).DatabaseWrapper.vendor
    if vendor not in ("postgresql", "sqlite"):
        raise Refusal(UNSUPPORTED_ENGINE(engine=name))
    return str(vendor)


def sqlite_file(conf: DeployConf) -> Path | None:
    """The SQLite database's file, or None for one in memory."""
    name = str(connections.settings[conf.database]["NAME"])
    if name == ":memory:" or "mode=memory" in name:
        return None
    return Path(name.removeprefix("file:").partition("?")[0] if name.startswith("file:") else name)


@contextmanager
def reading(conf: DeployConf) -> Iterator[BaseDatabaseWrapper]:
    """A connection of its own in a read-only transaction, limited to the check's time; closed at the end.

    Raises:
        Refusal: deploy.D002; deploy.P040 when there is no SQLite file (connecting would make it).
        django.db.NotSupportedError: the server is older than this Django supports.
        django.db.Error: what the driver says.
    """
    entry = _entry(conf)
    module: Any = load_backend(entry["ENGINE"])
    connection: BaseDatabaseWrapper = module.DatabaseWrapper(entry, conf.database)
    try:
        if connection.vendor == "sqlite":
            yield connection
            return
        connection.ensure_connection()
        connection.check_database_version_supported()  # Django itself asks once in a process only
        # SET LOCAL in a transaction: also right behind PgBouncer, where a plain SET would stay with the
        # server connection that the next client gets.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = {int(conf.check_timeout_seconds * 1000)}")
        yield connection
    finally:
        connection.close()


def _entry(conf: DeployConf) -> dict[str, Any]:
    entry: dict[str, Any] = copy.deepcopy(connections.settings[conf.database])
    entry["CONN_MAX_AGE"] = 0
    options = entry["OPTIONS"] = dict(entry.get("OPTIONS") or {})
    if engine(conf) == "postgresql":
        options.pop("pool", None)
        limit = max(2, math.floor(conf.check_timeout_seconds / 2))  # libpq takes no less than 2
        options["connect_timeout"] = min(limit, int(options.get("connect_timeout") or limit))
    elif (file := sqlite_file(conf)) is not None:
        if not file.exists():
            raise Refusal(SQLITE_MISSING(name=file))
        entry["NAME"] = f"file:{quote(str(file))}?mode=ro"
        options.pop("init_command", None)  # it may switch the journal, which writes
        options.pop("transaction_mode", None)
    return entry
