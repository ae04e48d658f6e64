"""A clone in the scratch database's place: for databases that are too large to restore at every deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from deploy.backup.contents import differences
from deploy.backup.engines import engine_of, identity_of
from deploy.backup.findings import CONTENT_DIFFERS, SEQUENCE_DIFFERS
from deploy.backup.manifest import Manifest
from deploy.conf import DeployConf
from deploy.conf_backup import CloudSQLConf
from deploy.databases import postgresql as server
from deploy.databases.scratch import database_alias
from deploy.reporting.facts import human_bytes
from deploy.reporting.findings import Finding, Refusal
from deploy.reporting.report import Step

from .addressing import UnreachableError, settings_for
from .clones import PACE, Cloned, delete, delete_stale, make, new_name
from .connection import ADMIN, connected, instance_of
from .findings import CLONE_DIFFERS, CLONE_UNREACHABLE, CLONED
from .operations import Admin, Pace

CLONE_ALIAS = "deploy_clone"


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone that can be worked on.

    Attributes:
        alias: of DATABASES, for the length of the block. facts: for the step that made it.
    """

    alias: str
    name: str
    moment: datetime
    facts: dict[str, Any]


def oversize_bytes(conf: DeployConf) -> int:
    """The live database's size in bytes where it is over the limit for clones; 0 where the archive serves.

    Raises:
        Refusal: deploy.D004, D005.
    """
    cloud_sql = conf.backup.cloud_sql
    if cloud_sql is None or not cloud_sql.clone_over_bytes:
        return 0
    if connections[conf.database].vendor != "postgresql":
        return 0
    with server.connect(conf.database) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    size_bytes = int(row[0]) if row else 0
    return size_bytes if size_bytes > cloud_sql.clone_over_bytes else 0


@contextmanager
def cloned(
    conf: DeployConf,
    manifest: Manifest,
    *,
    step: Step,
    ending: Callable[[], AbstractContextManager[Step]],
    pace: Pace = PACE,
) -> Iterator[Clone]:
    """A clone of the instance as of the backup, for the length of the block; then it is deleted.

    Clones that killed drills left are deleted first, so hold the deploy lock. A clone that can't be deleted
    is a warning (deploy.B091).

    Args:
        step: of its making. ending: the step of its deletion, entered at the end of the block.

    Raises:
        Refusal: deploy.B085 to B088, B090, B092.
    """
    cloud_sql, identity = _required(conf), identity_of(conf)
    with connected(cloud_sql) as service:
        admin = Admin(service, instance_of(cloud_sql), ADMIN, pace, step)
        stale = delete_stale(admin, identity)
        began = datetime.now(UTC)
        name = new_name(identity, began)
        try:
            made = make(admin, identity, name, manifest.created)
            with _reached(conf, admin, made) as alias:
                seconds = (datetime.now(UTC) - began).total_seconds()
                facts = _facts(made, manifest, stale, seconds)
                yield Clone(alias, made.name, made.moment, facts)
        finally:
            with ending() as last:
                last.facts.update(clone=name, deleted=delete(replace(admin, step=last), identity, name))


def compare(conf: DeployConf, manifest: Manifest, clone: Clone, *, step: Step) -> dict[str, Any]:
    """Measure the clone as the backup was measured. Facts: tables, rows, how many tables differ.

    Rows that differ are a warning (deploy.B093): even a clone of the snapshot's moment is some transactions
    away from it. A table that is not there is an error: it is not this database.

    Raises:
        Refusal: deploy.D004.
    """
    there = replace(conf, database=clone.alias)
    contents = engine_of(there).contents(server.database_name(clone.alias), manifest)
    found = list(differences(manifest, contents))
    missing = sorted(manifest.tables.keys() - contents.tables.keys())
    in_rows = {finding.place or finding.message for finding in found if finding.id != SEQUENCE_DIFFERS.id}
    if in_rows:
        step.add(
            CLONE_DIFFERS(
                clone=clone.name,
                moment=clone.moment.isoformat(timespec="seconds"),
                id=manifest.id,
                created=manifest.created.isoformat(timespec="seconds"),
                tables=len(in_rows),
                first=missing[0] if missing else min(in_rows),
                level="error" if missing else None,
            )
        )
    return {
        "tables": len(contents.tables),
        "rows": sum(contents.tables.values()),
        "digested_tables": len(manifest.digests),
        "sampled_tables": len(manifest.samples),
        "differing_tables": len(in_rows),
        "differing_digests": sum(finding.id == CONTENT_DIFFERS.id for finding in found),
    }


def told(conf: DeployConf, manifest: Manifest, clone: Clone, size_bytes: int) -> Finding:
    """What is proved by a clone and what is not: deploy.B094."""
    return CLONED(
        size=human_bytes(size_bytes),
        limit=human_bytes(_required(conf).clone_over_bytes),
        clone=clone.name,
        id=manifest.id,
    )


@contextmanager
def _reached(conf: DeployConf, admin: Admin, made: Cloned) -> Iterator[str]:
    """An alias of the clone's database, tried."""
    entry = connections.settings[conf.database]
    name = server.database_name(conf.database)
    try:
        with (
            settings_for(entry, made) as changes,
            database_alias(conf.database, name, alias=CLONE_ALIAS, changes=changes) as alias,
        ):
            _try(alias)
            yield alias
    except UnreachableError as error:
        raise Refusal(CLONE_UNREACHABLE(clone=made.name, instance=admin.instance, reason=error)) from error


def _try(alias: str) -> None:
    try:
        server.connect(alias).close()
    except Refusal as refusal:
        raise UnreachableError("; ".join(one.message.rstrip(".?") for one in refusal.findings)) from refusal


def _facts(made: Cloned, manifest: Manifest, stale: list[str], seconds: float) -> dict[str, Any]:
    return {
        "clone": made.name,
        "backup": manifest.id,
        "moment": made.moment.isoformat(),
        "point_in_time": made.exact,
        "skew_seconds": round((made.moment - manifest.created).total_seconds(), 3),
        "clone_seconds": round(seconds, 3),
        **({"deleted_stale": stale} if stale else {}),
    }


def _required(conf: DeployConf) -> CloudSQLConf:
    if conf.backup.cloud_sql is None:
        raise ValueError("DEPLOY['CLOUD_SQL'] names no instance")
    return conf.backup.cloud_sql
