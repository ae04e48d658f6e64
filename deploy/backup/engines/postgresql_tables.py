"""Single tables brought back into a schema of their own beside the live ones.

They are filled in a scratch database, moved into the new schema there, and copied over in one transaction: in
the live database nothing but new objects is touched, so nobody waits. What ties a table to others stays
behind: foreign keys, triggers, rules, policies, and the place in a partitioned table or an inheritance.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from django.db import connections

from deploy.backup.findings import NAME_INVALID, RESTORE_FAILED
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.child_process import ClientProgram, running
from deploy.databases.client_tools import Tool, find_tool, libpq_environment, role_options
from deploy.reporting.findings import Refusal

from .postgresql_obstacles import superusers_entries
from .postgresql_restore import choose, drop, load_rows, prepared

if TYPE_CHECKING:
    from deploy.backup.restore import Saved

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_ENTRY = re.compile(r"\d+; \d+ \d+ (.*)")
_LEFT_BEHIND = (
    "TABLE DATA ",
    "BLOB",
    "FK CONSTRAINT ",
    "TRIGGER ",
    "RULE ",
    "POLICY ",
    "ROW SECURITY ",
    "EVENT TRIGGER ",
    "MATERIALIZED VIEW DATA ",
    "PUBLICATION",
    "SUBSCRIPTION",
    "STATISTICS DATA ",
)
_PARENTS = """
SELECT n.nspname, c.relname, p.relkind = 'p' FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhparent JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = i.inhparent WHERE i.inhrelid = %s::regclass
"""


def check_schema(conf: DeployConf, name: str) -> str:
    """The name, if a schema of it can be made in the live database. Raises Refusal (deploy.B014)."""
    reason = ""
    if not _SCHEMA.match(name) or name.startswith("pg_"):
        reason = "a schema's is of small letters, digits and _ , and does not begin with pg_"
    else:
        with server.connect(conf.database) as connection:
            if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [name]).fetchone():
                reason = "there is already a schema of that name"
    if reason:
        raise Refusal(NAME_INVALID(name=name, reason=reason))
    return name


def fill_tables(conf: DeployConf, saved: Saved, name: str, tables: Sequence[str]) -> dict[str, float]:
    """See `Engine.fill_tables`: everything that tables are made of, and the rows of these."""
    manifest = saved.manifest
    parts = tuple(
        part for part in manifest.parts if part is manifest.parts[0] or set(part.tables) & set(tables)
    )
    with prepared(conf, saved, name) as loader, ExitStack() as stack:
        loader.options += ("--no-privileges",)
        unpacked = time.monotonic()
        try:
            for part in parts:
                choose(loader, part, _chosen(loader.listing(part), tables), stack)
            loader.load(parts[0], "--section=pre-data")
            load_rows(loader, parts)
            loader.load(parts[0], "--section=post-data", jobs=loader.jobs)
        except BaseException:
            drop(conf, name)
            raise
    return {"read_seconds": unpacked - loader.began, "load_seconds": time.monotonic() - unpacked}


def _chosen(listing: Sequence[str], tables: Sequence[str]) -> list[str]:
    wanted = tuple(f"TABLE DATA {table.replace('.', ' ', 1)} " for table in tables)
    unwanted = superusers_entries(listing)
    chosen = []
    for line in listing:
        match = _ENTRY.match(line)
        entry = match[1] if match else ""
        if line not in unwanted and (entry.startswith(wanted) or not entry.startswith(_LEFT_BEHIND)):
            chosen.append(line)
    return chosen


def move_tables(conf: DeployConf, scratch: str, tables: Sequence[str], schema: str) -> None:
    """See `Engine.move_tables`."""
    _into_schema(conf, scratch, tables, schema)
    settings, live = connections[conf.database].settings_dict, server.database_name(conf.database)
    with server.connect_maintenance(conf.database) as connection:
        major = server.major(connection)
    reads = find_tool("pg_dump", server_major=major, pg_bin=conf.pg_bin)
    writes = find_tool("pg_restore", server_major=major, archive_major=reads.major, pg_bin=conf.pg_bin)
    plain = ["--format=custom", "--no-owner", "--no-privileges", "--no-password", *role_options(settings)]
    with (
        running(
            [str(reads.path), *plain, "--compress=0", f"--schema={schema}"],
            environment=libpq_environment(settings, name=scratch),
            stdout=True,
        ) as giving,
        running(
            [str(writes.path), *plain, "--exit-on-error", "--single-transaction", f"--dbname={live}"],
            environment=libpq_environment(settings),
            stdin=True,
        ) as taking,
    ):
        broken = False
        try:
            shutil.copyfileobj(giving.stdout, taking.stdin)
        except BrokenPipeError:  # pg_restore has ended, and says why below
            broken = True
        if not broken:
            # pg_restore commits at the end of its input, so that comes when pg_dump is known to be whole.
            _require_end(giving, reads, scratch, live)
            with suppress(BrokenPipeError):
                taking.stdin.close()
        _require_end(taking, writes, scratch, live)


def _require_end(program: ClientProgram, tool: Tool, scratch: str, live: str) -> None:
    if program.finish() != 0:
        reason = program.reason
        raise Refusal(
            RESTORE_FAILED(tool=tool.path.name, id=scratch, database=live, reason=reason), exit_code=1
        )


def _into_schema(conf: DeployConf, scratch: str, tables: Sequence[str], schema: str) -> None:
    """Move the tables of the scratch database into a schema of it, free of what they hung on."""
    import psycopg
    from psycopg import sql

    with server.connect(conf.database, scratch) as connection, connection.transaction():
        try:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        except psycopg.errors.DuplicateSchema as error:
            reason = "the backup has a schema of that name"
            raise Refusal(NAME_INVALID(name=schema, reason=reason)) from error
        for table in tables:
            whole = sql.Identifier(*table.split(".", 1))
            regclass = whole.as_string(connection)
            for parent_schema, parent, partitioned in connection.execute(_PARENTS, [regclass]).fetchall():
                above = sql.Identifier(parent_schema, parent)
                change = (
                    sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(above, whole)
                    if partitioned
                    else sql.SQL("ALTER TABLE {} NO INHERIT {}").format(whole, above)
                )
                connection.execute(change)
            connection.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(whole, sql.Identifier(schema)))
