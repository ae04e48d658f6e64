"""PostgreSQL read out: pg_dump through pipes, on an exported snapshot that is counted meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connections

from deploy.backup.contents import Contents
from deploy.backup.findings import DUMP_FAILED, DUMP_TOOL_NEWER, GRANTS_NEED_ROLES
from deploy.backup.findings_of_dump import DUMP_UNRESTORABLE, NOT_DIGESTED
from deploy.backup.findings_of_proofs import LARGE_OBJECTS_COUNTED
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.child_process import ClientProgram, running
from deploy.databases.client_tools import (
    Tool,
    find_tool,
    libpq_environment,
    role_options,
    sets_transaction_timeout,
)
from deploy.databases.gathering import Gathering
from deploy.reporting.facts import human_bytes
from deploy.reporting.findings import Finding, Refusal

from . import SourceFacts, Stream
from .postgresql_contents import (
    Position,
    applied_migrations,
    extensions,
    granted_objects,
    own_tables,
    sequences,
    spans,
)
from .postgresql_counting import Counting
from .postgresql_definitions import LARGE_OBJECTS, MOST_LARGE_OBJECTS
from .postgresql_digests import DIGEST_METHOD, Table
from .postgresql_parts import main_arguments, part_arguments, share_out

if TYPE_CHECKING:
    from psycopg import Connection

# Behind an ACCESS EXCLUSIVE lock pg_dump would wait for ever, holding a snapshot that keeps vacuum away.
_LOCK_WAIT_SECONDS = 60
_MOST_NAMES = 3


@contextmanager
def dump(conf: DeployConf) -> Iterator[Dump]:
    """pg_dump of a snapshot, by `conf.backup.jobs` processes, and the counting of that snapshot beside it."""
    import psycopg

    with server.connect(conf.database) as connection, ExitStack() as stack:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.autocommit = False
        # The clock right after the snapshot: what was committed before it was taken is in it.
        # As a number: the driver reads no date in a session's own DateStyle.
        row = connection.execute(
            "SELECT pg_export_snapshot(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        ).fetchone()
        assert row is not None  # noqa: S101 – a function call has one row
        snapshot, moment = str(row[0]), datetime.fromtimestamp(0, UTC) + timedelta(microseconds=row[1])
        tool = _tool(conf, server.major(connection))
        try:
            # What is asked of a table's size waits for locks as its rows do. One process needs to know none.
            server.limit_lock_wait(connection, _LOCK_WAIT_SECONDS)
            before = sequences(connection)
            groups = share_out(own_tables(connection), conf.backup.jobs) if conf.backup.jobs > 1 else []
            differing = [
                main_arguments(groups),
                *(list(part_arguments(connection, group)) for group in groups),
            ]
        except psycopg.Error as error:
            raise failed(conf, tool, error) from error
        settings = connections[conf.database].settings_dict
        argv = [
            str(tool.path),
            "--format=custom",
            "--compress=0",
            "--no-owner",
            "--no-password",
            f"--lock-wait-timeout={_LOCK_WAIT_SECONDS}s",
            f"--snapshot={snapshot}",
            *role_options(settings),
        ]
        environment = libpq_environment(settings)
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="backup-count"))
        # The snapshot is pg_dump's from its first answer on; it holds as long as this transaction.
        programs = [
            stack.enter_context(running([*argv, *differences], environment=environment, stdout=True))
            for differences in differing
        ]
        counting = Counting(connection, conf.backup.digest_limit_bytes)
        counted = pool.submit(counting.run)
        try:
            yield Dump(conf, snapshot, moment, connection, tool, programs, groups, counting, counted, before)
        finally:
            if not counted.done():
                connection.cancel_safe()
                with suppress(Exception):  # cancelled; what stops us is on its way up
                    counted.result()


def _tool(conf: DeployConf, server_major: int) -> Tool:
    """pg_dump. Raises Refusal for one whose archive could not be restored into this server."""
    tool = find_tool("pg_dump", server_major=server_major, pg_bin=conf.pg_bin)
    if sets_transaction_timeout(tool.major, server_major=server_major):
        raise Refusal(
            DUMP_UNRESTORABLE(tool=tool.path.name, tool_major=tool.major, server_major=server_major)
        )
    return tool


def failed(conf: DeployConf, tool: Tool, reason: object) -> Refusal:
    """The dump can't be used: deploy.B003, exit code 1."""
    text = str(reason).partition("\n")[0]
    database = server.database_name(conf.database)
    return Refusal(DUMP_FAILED(tool=tool.path.name, database=database, reason=text), exit_code=1)


class Dump:
    """The source: the output of one or more pg_dump, and the counting of their snapshot."""

    def __init__(
        self,
        conf: DeployConf,
        snapshot: str,
        moment: datetime,
        connection: Connection[Any],
        tool: Tool,
        programs: Sequence[ClientProgram],
        groups: Sequence[Sequence[Table]],
        counting: Counting,
        counted: Future[Contents],
        before: dict[str, Position],
    ) -> None:
        self.snapshot = snapshot
        self.moment = moment
        self._conf = conf
        self._connection = connection
        self._tool = tool
        self._programs = programs
        self._counting = counting
        self._counted = counted
        self._before = before
        self._after: dict[str, Position] = {}
        main, *others = programs
        self.streams: tuple[Stream, ...] = (
            Stream(_Noting(Gathering(main.stdout), self._read_sequences), partial(self._end, main)),
            *(
                Stream(Gathering(other.stdout), partial(self._end, other), tuple(map(str, group)))
                for other, group in zip(others, groups, strict=True)
            ),
        )

    @property
    def expected_bytes(self) -> int:
        return self._counting.expected_bytes

    def stop(self) -> None:
        for program in self._programs:
            program.kill()

    def finish(self) -> SourceFacts:
        import psycopg

        try:
            contents = self._counted.result()
            # The counting set a search_path of its own; Django's table is found with the alias's.
            self._connection.execute("RESET search_path")
            return SourceFacts(
                server_version=str(self._connection.info.parameter_status("server_version")).split()[0],
                client_version=str(self._tool.major),
                contents=dataclasses.replace(contents, sequences=spans(self._before, self._after)),
                digest_method=DIGEST_METHOD.format(limit=self._conf.backup.digest_limit_bytes),
                migrations=applied_migrations(self._connection),
                extensions=extensions(self._connection),
                locale=server.locale(self._connection),
                findings=tuple(self._findings(contents)),
            )
        except psycopg.Error as error:
            raise failed(self._conf, self._tool, error) from error

    def _read_sequences(self) -> None:
        """When pg_dump's first byte is here: the values stand in the table of contents, which comes first."""
        import psycopg

        try:
            with server.connect(self._conf.database) as connection:
                self._after = sequences(connection)
        except psycopg.Error as error:
            raise failed(self._conf, self._tool, error) from error

    def _end(self, program: ClientProgram) -> None:
        """Raises Refusal when the program's output is not the whole of it."""
        import psycopg

        if program.finish() == 0:
            return
        # A count that failed has ended the transaction and its snapshot: that is the cause.
        if self._counted.done() and (error := self._counted.exception()) is not None:
            if isinstance(error, psycopg.Error):
                raise failed(self._conf, self._tool, error) from error
            raise error
        raise failed(self._conf, self._tool, program.reason)

    def _findings(self, contents: Contents) -> Iterator[Finding]:
        server_major = server.major(self._connection)
        if self._tool.major > server_major:
            yield DUMP_TOOL_NEWER(
                tool=self._tool.path.name, tool_major=self._tool.major, server_major=server_major
            )
        if count := granted_objects(self._connection):
            yield GRANTS_NEED_ROLES(count=count, database=server.database_name(self._conf.database))
        if left_out := sorted(contents.tables.keys() - contents.digests.keys()):
            more = ", …" if len(left_out) > _MOST_NAMES else ""
            yield NOT_DIGESTED(
                count=len(left_out),
                limit=self._conf.backup.digest_limit_bytes,
                tables=", ".join(left_out[:_MOST_NAMES]) + more,
            )
        if LARGE_OBJECTS not in contents.definitions:
            yield LARGE_OBJECTS_COUNTED(
                count=contents.objects[LARGE_OBJECTS],
                database=server.database_name(self._conf.database),
                most=MOST_LARGE_OBJECTS,
                limit=human_bytes(self._conf.backup.digest_limit_bytes),
            )


class _Noting:
    """A stream that calls `then` once, when its first bytes are here."""

    def __init__(self, stream: Gathering, then: Callable[[], None]) -> None:
        self._stream = stream
        self._then: Callable[[], None] | None = then

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        piece = self._stream.read(size)
        self._note()
        return piece

    def readinto1(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer, and say how much; 0 at the end."""
        count = self._stream.readinto1(buffer)
        self._note()
        return count

    def _note(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()
