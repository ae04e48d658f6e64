"""PostgreSQL: read out by pg_dump, filled by pg_restore, measured, and exchanged by name."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections

from deploy.backup.contents import Contents
from deploy.backup.findings import DATABASE_EXISTS, NAME_INVALID
from deploy.backup.findings_of_restore import NOT_OWNER
from deploy.backup.manifest import Manifest
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.swap import rename, swap
from deploy.reporting.findings import Refusal

from .postgresql_contents import measure_like, measure_small, sequences, spans
from .postgresql_definitions import LARGE_OBJECTS
from .postgresql_dump import Dump, dump
from .postgresql_restore import restore
from .postgresql_tables import check_schema, fill_tables, move_tables

if TYPE_CHECKING:
    from psycopg import Connection

    from deploy.backup.restore import Saved

_MOMENT = re.compile(r"\d{8}T\d{6}")


class PostgreSQL:
    """The engine of one alias (see `deploy.backup.engines.Engine`)."""

    kind = "postgresql"
    archive = "archive.dump.zst"

    def __init__(self, conf: DeployConf) -> None:
        self.conf = conf
        self.alias = conf.database
        self._locks: dict[str, Connection[Any]] = {}

    def database_name(self) -> str:
        return server.database_name(self.alias)

    def source(self) -> AbstractContextManager[Dump]:
        """pg_dump of a snapshot, and the counting of the same snapshot beside it."""
        return dump(self.conf)

    def restore(self, saved: Saved, name: str, *, grants: bool = False) -> dict[str, float]:
        return restore(self.conf, saved, name, grants=grants)

    def fill_tables(self, saved: Saved, name: str, tables: Sequence[str]) -> dict[str, float]:
        return fill_tables(self.conf, saved, name, tables)

    def check_beside(self, name: str) -> str:
        return check_schema(self.conf, name)

    def move_tables(self, scratch: str, tables: Sequence[str], beside: str) -> None:
        move_tables(self.conf, scratch, tables, beside)

    def contents(self, name: str, manifest: Manifest) -> Contents:
        with server.connect(self.alias, name) as connection:
            same = manifest.server_version.split(".")[0] == str(server.major(connection))
            found = measure_like(
                connection,
                digested=manifest.digests.keys(),
                samples=manifest.samples,
                # Another major version may show the same definition in other words.
                defined=same and bool(manifest.definitions),
                large_objects=LARGE_OBJECTS in manifest.definitions,
            )
            positions = sequences(connection)
            return dataclasses.replace(found, sequences=spans(positions, positions))

    def contents_now(self, manifest: Manifest, *, limit_bytes: int) -> tuple[Contents, frozenset[str]]:
        with server.connect(self.alias, self.database_name()) as connection:
            return measure_small(
                connection,
                digested=manifest.digests.keys(),
                samples=manifest.samples,
                limit_bytes=limit_bytes,
            )

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

    def connections(self) -> int:
        with server.connect_maintenance(self.alias) as connection:
            return server.count_connections(connection, self.database_name())

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

        self._require_locks()
        try:
            rename(self.alias, before, after)
        except DuplicateDatabase as error:  # made by somebody who does not ask for the lock
            raise Refusal(DATABASE_EXISTS(name=after)) from error

    @contextmanager
    def locked(self, name: str, doing: str) -> Iterator[None]:
        with server.locked(self.alias, name, doing=doing) as connection:
            self._locks[name] = connection
            try:
                yield
            finally:
                del self._locks[name]

    def _require_locks(self) -> None:
        for name, connection in self._locks.items():
            server.require_lock(connection, name)

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

    def replaced(self) -> list[str]:
        return [name for name in self.names(self._replaced_prefix()) if self.is_replaced(name)]

    def size_bytes(self, name: str) -> int:
        with server.connect_maintenance(self.alias) as connection:
            return server.size_bytes(connection, name)

    def is_there(self) -> bool:
        return self.exists(self.database_name())

    def require_replaceable(self) -> None:
        name = self.database_name()
        with server.connect_maintenance(self.alias) as connection:
            server.require_createdb(connection)
            row = connection.execute(
                "SELECT current_user::text, pg_get_userbyid(datdba)::text FROM pg_database"
                " WHERE datname = %s AND NOT pg_has_role(current_user, datdba, 'USAGE')",
                [name],
            ).fetchone()
        if row:
            raise Refusal(NOT_OWNER(name=name, role=row[0], owner=row[1]))

    def swap(self, *, new: str, old: str) -> list[str]:
        self._require_locks()
        connections[self.alias].close()  # our own connection would be ended too
        return swap(self.alias, live=self.database_name(), new=new, old=old)
