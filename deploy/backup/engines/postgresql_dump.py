"""PostgreSQL read out: pg_dump through a pipe, on an exported snapshot that is counted meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.db import connections

from deploy.backup.archive import Readable
from deploy.backup.contents import Contents
from deploy.backup.findings import DUMP_FAILED, DUMP_TOOL_NEWER, GRANTS_NEED_ROLES
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.child_process import ClientProgram, running
from deploy.databases.client_tools import Tool, find_tool, libpq_environment, role_options
from deploy.reporting.findings import Finding, Refusal

from . import SourceFacts
from .postgresql_contents import (
    DIGEST_METHOD,
    applied_migrations,
    extensions,
    granted_objects,
    measure,
    next_numbers,
    spans,
)

if TYPE_CHECKING:
    from psycopg import Connection

# Behind an ACCESS EXCLUSIVE lock pg_dump would wait for ever, holding a snapshot that keeps vacuum away.
_LOCK_WAIT_SECONDS = 60


@contextmanager
def dump(conf: DeployConf) -> Iterator[Dump]:
    """pg_dump of a snapshot, and the counting of the same snapshot beside it."""
    import psycopg

    settings = connections[conf.database].settings_dict
    with server.connect(conf.database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.autocommit = False
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101 – a function call has one row
        tool = find_tool("pg_dump", server_major=server.major(connection), pg_bin=conf.pg_bin)
        try:
            numbers = next_numbers(connection)
        except psycopg.Error as error:
            raise _failed(conf, tool, str(error).partition("\n")[0]) from error
        argv = [
            str(tool.path),
            "--format=custom",
            "--compress=0",
            "--no-owner",
            "--no-password",
            f"--lock-wait-timeout={_LOCK_WAIT_SECONDS}s",
            f"--snapshot={row[0]}",
            *role_options(settings),
        ]
        with (
            ThreadPoolExecutor(1, thread_name_prefix="backup-count") as pool,
            running(argv, environment=libpq_environment(settings), stdout=True) as program,
        ):
            # The snapshot is pg_dump's from its first answer on; it holds as long as this transaction.
            counting = pool.submit(measure, connection, limit_bytes=conf.backup.digest_limit_bytes)
            try:
                yield Dump(conf, connection, tool, program, counting, numbers)
            finally:
                if not counting.done():
                    connection.cancel_safe()
                    with suppress(Exception):  # cancelled; what stops us is on its way up
                        counting.result()


def _failed(conf: DeployConf, tool: Tool, reason: str) -> Refusal:
    database = server.database_name(conf.database)
    return Refusal(DUMP_FAILED(tool=tool.path.name, database=database, reason=reason), exit_code=1)


class Dump:
    """The source: pg_dump's output, and the counting of its snapshot."""

    def __init__(
        self,
        conf: DeployConf,
        connection: Connection[Any],
        tool: Tool,
        program: ClientProgram,
        counting: Future[Contents],
        numbers: dict[str, int],
    ) -> None:
        self.stream: Readable = program.stdout
        self._conf = conf
        self._connection = connection
        self._tool = tool
        self._program = program
        self._counting = counting
        self._numbers = numbers

    def finish(self) -> SourceFacts:
        import psycopg

        try:
            if self._program.finish() != 0:
                # A count that failed has ended the transaction and its snapshot: that is the cause.
                if self._counting.done():
                    self._counting.result()
                raise _failed(self._conf, self._tool, self._program.reason)
            contents = self._counting.result()
            sequences = spans(self._numbers, next_numbers(self._connection))
            # The counting set a search_path of its own; Django's table is found with the alias's.
            self._connection.execute("RESET search_path")
            return SourceFacts(
                server_version=str(self._connection.info.parameter_status("server_version")).split()[0],
                client_version=str(self._tool.major),
                contents=dataclasses.replace(contents, sequences=sequences),
                digest_method=DIGEST_METHOD.format(limit=self._conf.backup.digest_limit_bytes),
                migrations=applied_migrations(self._connection),
                extensions=extensions(self._connection),
                locale=server.locale(self._connection),
                findings=tuple(self._findings()),
            )
        except psycopg.Error as error:
            raise _failed(self._conf, self._tool, str(error).partition("\n")[0]) from error

    def _findings(self) -> Iterator[Finding]:
        server_major = server.major(self._connection)
        if self._tool.major > server_major:
            yield DUMP_TOOL_NEWER(
                tool=self._tool.path.name, tool_major=self._tool.major, server_major=server_major
            )
        if count := granted_objects(self._connection):
            yield GRANTS_NEED_ROLES(count=count, database=server.database_name(self._conf.database))
