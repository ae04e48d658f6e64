"""PostgreSQL brought back: unpacked and proved on the local disk, then loaded by several connections."""

from __future__ import annotations

import errno
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from deploy.backup import spool
from deploy.backup.findings_of_restore import ARCHIVE_TOO_NEW, ENTRIES_LEFT_OUT, SPOOL_TOO_SMALL
from deploy.backup.manifest import Part
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.client_tools import find_tool, sets_transaction_timeout
from deploy.reporting.facts import human_bytes
from deploy.reporting.findings import Refusal

from .postgresql_grants import make_grants
from .postgresql_load import Loader
from .postgresql_obstacles import (
    collation_findings,
    is_superuser,
    require_extensions,
    require_room,
    superusers_entries,
)
from .postgresql_owners import settle_owners

if TYPE_CHECKING:
    from psycopg import Connection

    from deploy.backup.restore import Saved

_LOOK_EVERY_SECONDS = 0.5
_COPIED = "SELECT pid, relid, bytes_processed FROM pg_stat_progress_copy WHERE datname = current_database()"
_INDEXES = """
SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
# A partition comes with its parent.
_TO_ANALYZE = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema' ORDER BY pg_table_size(c.oid) DESC
"""


def restore(conf: DeployConf, saved: Saved, name: str, *, grants: bool) -> dict[str, float]:
    """Make the database `name` of a backup (see `Engine.restore`).

    The main archive is unpacked first, so that a damaged one is found before anything is created, and then
    loaded by `conf.backup.restore_jobs` connections. The archives of single tables go straight from the
    bucket into a connection each.
    """
    with prepared(conf, saved, name) as loader:
        unpacked = time.monotonic()
        try:
            if grants:
                settle_owners(loader)
            seconds = _fill(loader, grants=grants)
        except BaseException:
            drop(conf, name)
            raise
    return {"read_seconds": unpacked - loader.began, **seconds}


@contextmanager
def prepared(conf: DeployConf, saved: Saved, name: str) -> Iterator[Loader]:
    """An empty database `name`, and the main archive unpacked where there is room for it.

    Whoever takes the block drops the database should it not be filled.
    """
    manifest = saved.manifest
    began = time.monotonic()
    with ExitStack() as stack:
        with server.connect_maintenance(conf.database) as connection:
            theirs, ours = _major(manifest.client_version), server.major(connection)
            if sets_transaction_timeout(theirs, server_major=ours):
                raise Refusal(ARCHIVE_TOO_NEW(id=manifest.id, archive_major=theirs, server_major=ours))
            tool = find_tool("pg_restore", server_major=ours, archive_major=theirs, pg_bin=conf.pg_bin)
            require_extensions(connection, conf.database, manifest)
            require_room(connection, manifest, spool_folder=spool.folder())
            superuser = is_superuser(connection)
        loader = Loader(conf, tool, saved, name, jobs=conf.backup.restore_jobs, began=began)
        _unpack(loader, stack)
        if not superuser:
            _leave_out(loader, stack)
        with server.connect_maintenance(conf.database) as connection:
            server.create_anew(connection, name, manifest.locale)
        yield loader


def drop(conf: DeployConf, name: str) -> None:
    """Drop the database if it is there."""
    with server.connect_maintenance(conf.database) as connection:
        server.drop(connection, name)


def _unpack(loader: Loader, stack: ExitStack) -> None:
    """Put the main archive on the local disk until the end of the stack, if there is room for it."""
    main, saved = loader.saved.manifest.parts[0], loader.saved
    free = spool.free_bytes()
    if free >= main.raw_bytes:
        try:
            with saved.open(main) as raw:
                loader.paths[main.file] = stack.enter_context(spool.spooled(raw))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = spool.free_bytes()  # somebody else has taken it meanwhile
        else:
            return
    saved.step.add(
        SPOOL_TOO_SMALL(
            id=saved.manifest.id,
            needed=human_bytes(main.raw_bytes),
            folder=spool.folder(),
            free=human_bytes(free),
        )
    )


def _leave_out(loader: Loader, stack: ExitStack) -> None:
    """Have pg_restore leave out what only a superuser can restore, rather than ignore its errors."""
    manifest = loader.saved.manifest
    main = manifest.parts[0]
    listing = loader.listing(main)
    if left_out := superusers_entries(listing):
        choose(loader, main, [line for line in listing if line not in left_out], stack)
        loader.saved.step.add(ENTRIES_LEFT_OUT(id=manifest.id, entries=", ".join(left_out.values())))


def choose(loader: Loader, part: Part, lines: list[str], stack: ExitStack) -> None:
    """Load only these lines of the archive's listing, until the end of the stack."""
    text = "".join(f"{line}\n" for line in lines)
    loader.choices[part.file] = stack.enter_context(spool.spooled([text.encode()]))


def _fill(loader: Loader, *, grants: bool) -> dict[str, float]:
    manifest, step = loader.saved.manifest, loader.saved.step
    main = manifest.parts[0]
    with server.connect(loader.conf.database, loader.name) as connection:
        began = time.monotonic()
        step.extend(collation_findings(server.locale(connection), manifest))
        one_by_one = grants and not is_superuser(connection)
        if one_by_one or not grants:
            loader.options += ("--no-privileges",)
        loader.load(main, "--section=pre-data")
        if one_by_one:
            make_grants(loader)  # before the rows: what is missing for them is told before hours of loading
        with _watched(
            connection,
            _copied,
            lambda done: step.progress(
                min(done, manifest.raw_bytes), manifest.raw_bytes, unit="bytes", note="loading"
            ),
        ):
            load_rows(loader, manifest.parts)
        loaded = time.monotonic()
        total = manifest.objects.get("indexes")
        with _watched(connection, _indexes, lambda done: step.progress(done, total, unit="indexes")):
            loader.load(main, "--section=post-data", jobs=loader.jobs)
        indexed = time.monotonic()
        _analyze(loader, connection)
    return {
        "load_seconds": loaded - began,
        "index_seconds": indexed - loaded,
        "analyze_seconds": time.monotonic() - indexed,
    }


def load_rows(loader: Loader, parts: tuple[Part, ...], *arguments: str) -> None:
    """Load the rows of several archives side by side, the largest first; the first that fails ends all."""
    if len(parts) == 1:
        loader.load(parts[0], "--section=data", *arguments, jobs=loader.jobs)
        return
    with ThreadPoolExecutor(loader.jobs, thread_name_prefix="restore") as pool:
        running = [
            pool.submit(loader.load, part, "--section=data", *arguments)
            for part in sorted(parts, key=lambda part: part.raw_bytes, reverse=True)
        ]
        try:
            for future in wait(running, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            for future in running:
                future.cancel()
            loader.stop()
            raise


def _analyze(loader: Loader, connection: Connection[Any]) -> None:
    """Let the planner know the new tables: as many at once as loaded them."""
    from psycopg import sql

    tables = iter(connection.execute(_TO_ANALYZE).fetchall())
    lock = threading.Lock()

    def work() -> None:
        with server.connect(loader.conf.database, loader.name) as own:
            own.execute("SET statement_timeout = 0")
            while True:
                with lock:
                    table = next(tables, None)
                if table is None:
                    return
                own.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*table)))

    with ThreadPoolExecutor(loader.jobs, thread_name_prefix="restore-analyze") as pool:
        for future in [pool.submit(work) for _ in range(loader.jobs)]:
            future.result()


@contextmanager
def _watched(
    connection: Connection[Any],
    look: Callable[[Connection[Any], dict[Any, int]], int],
    tell: Callable[[int], None],
) -> Iterator[None]:
    """Tell how far the server is, now and then, for the length of the block."""
    import psycopg

    ended = threading.Event()
    seen: dict[Any, int] = {}

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY_SECONDS):
            try:
                tell(look(connection, seen))
            except psycopg.Error:  # only the progress is lost; what is wrong is for pg_restore to say
                return

    thread = threading.Thread(target=watch, name="restore-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _copied(connection: Connection[Any], seen: dict[Any, int]) -> int:
    for process, table, done in connection.execute(_COPIED).fetchall():
        seen[process, table] = int(done)
    return sum(seen.values())


def _indexes(connection: Connection[Any], _seen: dict[Any, int]) -> int:
    row = connection.execute(_INDEXES).fetchone()
    return int(row[0]) if row else 0


def _major(version: str) -> int:
    match = re.match(r"\d+", version)
    return int(match.group()) if match else 0
