"""What differs between databases: how one is read out, filled, compared, exchanged and dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from deploy.backup.archive import Readable
from deploy.backup.contents import Contents
from deploy.backup.manifest import Manifest
from deploy.backup.naming import Identity
from deploy.conf import DeployConf
from deploy.databases.client_tools import UNSUPPORTED_ENGINE
from deploy.reporting.findings import Finding, Refusal

if TYPE_CHECKING:
    from deploy.backup.restore import Saved


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the manifest says of the database that was read; the fields are `Manifest`'s."""

    server_version: str
    client_version: str
    contents: Contents
    digest_method: str
    migrations: dict[str, list[str]]
    extensions: dict[str, str] = field(default_factory=dict)
    locale: Mapping[str, str | None] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """One archive's raw bytes.

    Attributes:
        end: call it at the end of `raw`; raises Refusal if that was not the whole of it.
        tables: as in `Part`.
    """

    raw: Readable
    end: Callable[[], None]
    tables: tuple[str, ...] = ()


class Source(Protocol):
    """A database being read out, as of one moment.

    Attributes:
        streams: to be read side by side; the first holds the schema.
        snapshot: where the same moment can be read again as long as the source is open: the exported
            snapshot's id, or the path of a copy.
        moment: UTC, of that moment: by the server's clock, where there is a server.
    """

    streams: tuple[Stream, ...]
    snapshot: str
    moment: datetime

    @property
    def expected_bytes(self) -> int:
        """About how much all of them will give, as far as is known now; 0: nothing is known yet."""

    def stop(self) -> None:
        """Make every stream end early, since the backup has failed."""

    def finish(self) -> SourceFacts:
        """Call at the end of all streams. Raises Refusal if what they were read from can't be described."""


class Engine(Protocol):
    """One kind of database. `name` is a database on the alias's server, or the path of a SQLite file."""

    kind: str
    archive: str

    def database_name(self) -> str:
        """Of the live database, as it appears in the bucket and is typed to replace it."""

    def source(self) -> AbstractContextManager[Source]:
        """Read the live database out, consistently."""

    def restore(self, saved: Saved, name: str, *, grants: bool = False) -> dict[str, float]:
        """Make the database `name` (not there yet) of a backup; with `grants`, whoever could use the saved
        one can use it. Returns how long its parts took, as facts in `_seconds`. Raises Refusal.
        """

    def fill_tables(self, saved: Saved, name: str, tables: Sequence[str]) -> dict[str, float]:
        """Make the database `name` (not there yet) with the rows of these tables, named as in the manifest.
        Returns how long it took, as facts in `_seconds`. Raises Refusal.
        """

    def check_beside(self, name: str) -> str:
        """Where `move_tables` puts tables: a schema of the live database, or a SQLite file, that is not there
        yet. Raises Refusal.
        """

    def move_tables(self, scratch: str, tables: Sequence[str], beside: str) -> None:
        """Copy the tables of a database that `fill_tables` made to `beside`, all or nothing, touching nothing
        that is live. Raises Refusal.
        """

    def contents(self, name: str, manifest: Manifest) -> Contents:
        """Measure a restored database the way the manifest's was measured. Raises Refusal."""

    def contents_now(self, manifest: Manifest, *, limit_bytes: int) -> tuple[Contents, frozenset[str]]:
        """Rows and digests of the live database, measured as the manifest's were, and the tables over
        `limit_bytes`, whose rows are only estimated (0: nothing is known).
        """

    def check_name(self, name: str) -> str:
        """The name as used here, validated. Raises Refusal."""

    def scratch_name(self, prefix: str, rest: str) -> str:
        """A name beside the live database that begins with `prefix`."""

    def filling_name(self, prefix: str, name: str) -> str:
        """The scratch name (always the same) from which `rename` can make `name`."""

    def is_named(self, name: str, prefix: str) -> bool:
        """The name is one that `scratch_name(prefix, …)` makes."""

    def connections(self) -> int:
        """To the live database, now: those that a swap ends."""

    def exists(self, name: str) -> bool:
        """There is a database of this name."""

    def names(self, prefix: str) -> list[str]:
        """The databases beside the live one whose names begin with `prefix`."""

    def drop(self, name: str) -> None:
        """Drop it if it is there."""

    def rename(self, before: str, after: str) -> None:
        """Give the whole database `before` the name `after`. Raises Refusal (deploy.B009) if it is taken."""

    def locked(self, name: str, doing: str) -> AbstractContextManager[None]:
        """Keep others from changing `name` meanwhile. Raises Refusal when another process does."""

    def replaced_name(self, moment: str) -> str:
        """Where the live database goes when it is replaced."""

    def is_replaced(self, name: str) -> bool:
        """The name is one that `replaced_name` makes."""

    def replaced(self) -> list[str]:
        """The databases whose names `replaced_name` made."""

    def size_bytes(self, name: str) -> int:
        """What it takes of the server's or our disk."""

    def is_there(self) -> bool:
        """There is a live database."""

    def require_replaceable(self) -> None:
        """Refuse what `swap` would not be allowed to do, before anything is restored for it."""

    def swap(self, *, new: str, old: str) -> list[str]:
        """Make `new` the live one and keep the live one, if any, as `old`, atomically. Raises Refusal.

        Returns what of the live database's settings could not be brought over, in words.
        """


def engine_of(conf: DeployConf) -> Engine:
    """The engine of the configured database.

    Raises:
        Refusal: deploy.D002 for one that has none.
    """
    from django.db import connections

    vendor = connections[conf.database].vendor
    if vendor == "postgresql":
        from .postgresql import PostgreSQL

        return PostgreSQL(conf)
    if vendor == "sqlite":
        from .sqlite import SQLite

        return SQLite(conf)
    raise Refusal(UNSUPPORTED_ENGINE(engine=connections.settings[conf.database]["ENGINE"]))


def database_name(conf: DeployConf) -> str:
    """What to type to replace the live database: its name, or a SQLite file's name without folder."""
    return engine_of(conf).database_name()


def identity_of(conf: DeployConf) -> Identity:
    """Whose backups this configuration makes and sees."""
    return Identity(conf.project, conf.environment, database_name(conf))
