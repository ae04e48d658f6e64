"""PostgreSQL: pg_dump and pg_restore through pipes, on an exported snapshot that is counted meanwhile."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.db import connections

from deploy.backup.archive import Readable
from deploy.backup.contents import Contents
from deploy.backup.findings import (
    DATABASE_EXISTS,
    DUMP_FAILED,
    DUMP_TOOL_NEWER,
    GRANTS_NEED_ROLES,
    NAME_INVALID,
    RESTORE_FAILED,
)
from deploy.backup.manifest import Manifest
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.child_process import ClientProgram, running
from deploy.databases.client_tools import Tool, find_tool, libpq_environment
from deploy.databases.swap import rename, swap
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
_MOMENT = re.compile(r"\d{8}T\d{6}")


class PostgreSQL:
    """The engine of one alias (see `deploy.backup.engines.Engine`)."""

    kind = "postgresql"
    archive = "archive.dump.zst"

    def __init__(self, conf: DeployConf) -> None:
        self.conf = conf
        self.alias = conf.database
        self._settings = connections[self.alias].settings_dict

    def database_name(self) -> str:
        return server.database_name(self.alias)

    @contextmanager
    def source(self) -> Iterator[_Dump]:
        """pg_dump of a snapshot, and the counting of the same snapshot beside it."""
        import psycopg

        with server.connect(self.alias) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.autocommit = False
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None  # noqa: S101 – a function call has one row
            tool = self._tool("pg_dump", server.major(connection))
            try:
                numbers = next_numbers(connection)
            except psycopg.Error as error:
                raise self._failed(tool, str(error).partition("\n")[0]) from error
            argv = [
                str(tool.path),
                "--format=custom",
                "--compress=0",
                "--no-owner",
                "--no-password",
                f"--lock-wait-timeout={_LOCK_WAIT_SECONDS}s",
                f"--snapshot={row[0]}",
                *self._role(),
            ]
            with (
                ThreadPoolExecutor(1, thread_name_prefix="backup-count") as pool,
                running(argv, environment=libpq_environment(self._settings), stdout=True) as program,
            ):
                # The snapshot is pg_dump's from its first answer on; it holds as long as this transaction.
                counting = pool.submit(measure, connection, limit_bytes=self.conf.backup.digest_limit_bytes)
                try:
                    yield _Dump(self, connection, tool, program, counting, numbers)
                finally:
                    if not counting.done():
                        connection.cancel_safe()
                        with suppress(Exception):  # cancelled; what stops us is on its way up
                            counting.result()

    def _failed(self, tool: Tool, reason: str) -> Refusal:
        database = self.database_name()
        return Refusal(DUMP_FAILED(tool=tool.path.name, database=database, reason=reason), exit_code=1)

    def _role(self) -> list[str]:
        role = self._settings.get("OPTIONS", {}).get("assume_role")
        return [f"--role={role}"] if role else []

    def _tool(self, name: str, server_major: int) -> Tool:
        return find_tool(name, server_major=server_major, pg_bin=self.conf.pg_bin)

    def restore(self, manifest: Manifest, raw: Iterator[bytes], name: str, *, grants: bool = False) -> None:
        with server.connect_maintenance(self.alias) as connection:
            tool = self._tool("pg_restore", max(server.major(connection), _major(manifest.client_version)))
            server.create(connection, name, manifest.locale)
        try:
            self._fill(tool, manifest, raw, name, grants=grants)
        except BaseException:
            self.drop(name)
            raise

    def _fill(self, tool: Tool, manifest: Manifest, raw: Iterator[bytes], name: str, *, grants: bool) -> None:
        from psycopg.conninfo import make_conninfo

        argv = [
            str(tool.path),
            "--format=custom",
            "--exit-on-error",
            "--no-owner",
            *([] if grants else ["--no-privileges"]),
            "--no-password",
            # A restored subscription would compete with the live one, and its database can't be dropped.
            "--no-subscriptions",
            *self._role(),
            f"--dbname={make_conninfo(dbname=name)}",
        ]
        environment = libpq_environment(self._settings, name=name)
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
        with server.connect(self.alias, name) as connection:
            connection.execute("ANALYZE")

    def contents(self, name: str, manifest: Manifest) -> Contents:
        with server.connect(self.alias, name) as connection:
            found = measure(connection, limit_bytes=0, digested=manifest.digests.keys())
            numbers = next_numbers(connection)
            return dataclasses.replace(found, sequences=spans(numbers, numbers))

    def check_name(self, name: str) -> str:
        if not name or "\0" in name:
            raise Refusal(NAME_INVALID(name=name, reason="it is empty or holds a zero byte"))
        if len(name.encode()) > server.MAX_NAME_BYTES:
            raise Refusal(NAME_INVALID(name=name, reason=f"it has {len(name.encode())} bytes"))
        if name in ("postgres", "template0", "template1"):
            raise Refusal(NAME_INVALID(name=name, reason="it belongs to the server"))
        return name

    def scratch_name(self, prefix: str, rest: str) -> str:
        return self.check_name(prefix + rest)

    def filling_name(self, prefix: str, name: str) -> str:
        return self.scratch_name(prefix, f"into_{hashlib.sha256(name.encode()).hexdigest()[:16]}")

    def is_named(self, name: str, prefix: str) -> bool:
        return name.startswith(prefix) and name != self.database_name()

    def exists(self, name: str) -> bool:
        with server.connect_maintenance(self.alias) as connection:
            return server.exists(connection, name)

    def names(self, prefix: str) -> list[str]:
        with server.connect_maintenance(self.alias) as connection:
            return server.names_starting_with(connection, prefix)

    def drop(self, name: str) -> None:
        with server.connect_maintenance(self.alias) as connection:
            server.drop(connection, name)

    def rename(self, before: str, after: str) -> None:
        from psycopg.errors import DuplicateDatabase

        try:
            rename(self.alias, before, after)
        except DuplicateDatabase as error:  # made by somebody who does not ask for the lock
            raise Refusal(DATABASE_EXISTS(name=after)) from error

    @contextmanager
    def locked(self, name: str, doing: str) -> Iterator[None]:
        with server.locked(self.alias, name, doing=doing):
            yield

    def _replaced_prefix(self) -> str:
        # 23 bytes for the rest; a long name is cut between characters.
        return (
            self.database_name().encode()[: server.MAX_NAME_BYTES - 23].decode(errors="ignore") + "_before_"
        )

    def replaced_name(self, moment: str) -> str:
        return self._replaced_prefix() + moment

    def is_replaced(self, name: str) -> bool:
        prefix = self._replaced_prefix()
        return name.startswith(prefix) and bool(_MOMENT.fullmatch(name.removeprefix(prefix)))

    def swap(self, *, new: str, old: str) -> list[str]:
        connections[self.alias].close()  # our own connection would be ended too
        return swap(self.alias, live=self.database_name(), new=new, old=old)


class _Dump:
    """The source: pg_dump's output, and the counting of its snapshot."""

    def __init__(
        self,
        engine: PostgreSQL,
        connection: Connection[Any],
        tool: Tool,
        program: ClientProgram,
        counting: Future[Contents],
        numbers: dict[str, int],
    ) -> None:
        self.stream: Readable = program.stdout
        self._engine = engine
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
                raise self._engine._failed(self._tool, self._program.reason)
            contents = self._counting.result()
            sequences = spans(self._numbers, next_numbers(self._connection))
            # The counting set a search_path of its own; Django's table is found with the alias's.
            self._connection.execute("RESET search_path")
            return SourceFacts(
                server_version=str(self._connection.info.parameter_status("server_version")).split()[0],
                client_version=str(self._tool.major),
                contents=dataclasses.replace(contents, sequences=sequences),
                digest_method=DIGEST_METHOD.format(limit=self._engine.conf.backup.digest_limit_bytes),
                migrations=applied_migrations(self._connection),
                extensions=extensions(self._connection),
                locale=server.locale(self._connection),
                findings=tuple(self._findings()),
            )
        except psycopg.Error as error:
            raise self._engine._failed(self._tool, str(error).partition("\n")[0]) from error

    def _findings(self) -> Iterator[Finding]:
        server_major = server.major(self._connection)
        if self._tool.major > server_major:
            yield DUMP_TOOL_NEWER(
                tool=self._tool.path.name, tool_major=self._tool.major, server_major=server_major
            )
        if count := granted_objects(self._connection):
            yield GRANTS_NEED_ROLES(count=count, database=self._engine.database_name())


def _major(version: str) -> int:
    match = re.match(r"\d+", version)
    return int(match.group()) if match else 0
