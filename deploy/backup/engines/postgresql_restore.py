"""PostgreSQL brought back: pg_restore of an archive into a new database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from django.db import connections

from deploy.backup.findings import RESTORE_FAILED
from deploy.backup.manifest import Manifest
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.child_process import running
from deploy.databases.client_tools import Tool, find_tool, libpq_environment, role_options
from deploy.reporting.findings import Refusal


def restore(conf: DeployConf, manifest: Manifest, raw: Iterator[bytes], name: str, *, grants: bool) -> None:
    """Make the database `name` of an archive's raw bytes (see `Engine.restore`)."""
    with server.connect_maintenance(conf.database) as connection:
        tool = find_tool(
            "pg_restore",
            server_major=max(server.major(connection), _major(manifest.client_version)),
            pg_bin=conf.pg_bin,
        )
        server.create(connection, name, manifest.locale)
    try:
        _fill(conf, tool, manifest, raw, name, grants=grants)
    except BaseException:
        with server.connect_maintenance(conf.database) as connection:
            server.drop(connection, name)
        raise


def _fill(
    conf: DeployConf, tool: Tool, manifest: Manifest, raw: Iterator[bytes], name: str, *, grants: bool
) -> None:
    from psycopg.conninfo import make_conninfo

    settings = connections[conf.database].settings_dict
    argv = [
        str(tool.path),
        "--format=custom",
        "--exit-on-error",
        "--no-owner",
        *([] if grants else ["--no-privileges"]),
        "--no-password",
        # A restored subscription would compete with the live one, and its database can't be dropped.
        "--no-subscriptions",
        *role_options(settings),
        f"--dbname={make_conninfo(dbname=name)}",
    ]
    environment = libpq_environment(settings, name=name)
    with running(argv, environment=environment, stdin=True) as program:
        for piece in raw:
            # It has stopped early when it refuses more; the archive is read to its end all the same,
            # because a damaged one is the better explanation of the two.
            with suppress(BrokenPipeError):
                program.stdin.write(piece)
        with suppress(BrokenPipeError):
            program.stdin.close()
        if program.finish() != 0:
            reason = program.reason
            raise Refusal(
                RESTORE_FAILED(tool=tool.path.name, id=manifest.id, database=name, reason=reason),
                exit_code=1,
            )
    with server.connect(conf.database, name) as connection:
        connection.execute("ANALYZE")


def _major(version: str) -> int:
    match = re.match(r"\d+", version)
    return int(match.group()) if match else 0
