"""What a rehearsal proved, so that `apply` can tell whether it is still about the same thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ..graph import plan
from ..graph.plan import MigrationKey, place
from ..schema import schema_fingerprint


@dataclass(frozen=True, slots=True)
class Proof:
    """The server, the schema before, and the migrations in the order in which they ran on the copy.

    Attributes:
        server: as `server_version` tells it.
        before: SHA-256 of the copy's schema before the first migration.
        ran: (`app.name`, SHA-256 of the migration's file, SHA-256 of the schema after it).
        backup: the backup that was restored, or empty where nobody said.
    """

    server: str
    before: str
    ran: tuple[tuple[str, str, str], ...]
    backup: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the ledger."""
        return {
            "server": self.server,
            "before": self.before,
            "ran": [list(one) for one in self.ran],
            "backup": self.backup,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proof | None:
        """Back from `as_dict`; None for what is not one."""
        try:
            ran = tuple((str(name), str(file), str(schema)) for name, file, schema in data["ran"])
            return cls(str(data["server"]), str(data["before"]), ran, str(data.get("backup") or ""))
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Present:
    """What a proof is held against: the database and the image as they are now.

    Attributes:
        pending: `app.name` → SHA-256 of its file.
        interrupted: a migration that is not one transaction was begun and is not finished.
    """

    server: str
    schema: str
    pending: Mapping[str, str] = field(default_factory=dict)
    interrupted: bool = False


def changed(proof: Proof, now: Present) -> str:
    """What is not as it was proved: "server version", "migration plan", "database schema"; empty for nothing.

    Migrations that have run since, in the order of the rehearsal, are what it foresaw: the schema must then
    be the one that it saw after the last of them.
    """
    if now.server != proof.server:
        return "server version"
    for done in range(len(proof.ran) + 1):
        left = {name: file for name, file, _ in proof.ran[done:]}
        if left == dict(now.pending):
            expected = proof.ran[done - 1][2] if done else proof.before
            return "" if now.interrupted or now.schema == expected else "database schema"
    return "migration plan"


def present(alias: str, loader: MigrationLoader | None = None) -> Present:
    """The database `alias` and this image now.

    Raises:
        Refusal: deploy.M061, M006.
    """
    loader = loader or plan.load(alias)
    return Present(
        server_version(alias),
        schema_fingerprint(alias),
        files_of(loader, plan.pending(loader)),
        any(":" in name for _, name in MigrationRecorder(connections[alias]).applied_migrations()),
    )


def files_of(loader: MigrationLoader, keys: Sequence[MigrationKey]) -> dict[str, str]:
    """SHA-256 of each migration's file by `app.name`."""
    return {place(key): plan.fingerprint(loader, [(key, "")]) for key in keys}


def is_empty(alias: str) -> bool:
    """Nothing has been migrated yet: nobody's code or rows can be hurt."""
    return not MigrationRecorder(connections[alias]).applied_migrations() and not [
        name for name in connections[alias].introspection.table_names() if name != "django_migrations"
    ]


def server_version(alias: str) -> str:
    """The engine and its exact version: `postgresql 180004`."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        return f"postgresql {connection.connection.info.server_version}"
    import sqlite3

    return f"{connection.vendor} {sqlite3.sqlite_version}"
