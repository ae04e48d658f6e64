"""Bring single tables of a backup back beside the live ones, for a look or for a repair by hand."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Sequence
from typing import Any

from deploy.buckets import Bucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .contents import Contents, differences
from .engines import Engine, engine_of
from .findings import WRONG_ENGINE
from .findings_of_restore import TABLE_UNKNOWN
from .manifest import Manifest
from .restore import Saved
from .scratch import scratch_prefix


@dataclasses.dataclass(frozen=True, slots=True)
class TablesPlan:
    """What restoring tables would do.

    Attributes:
        backup, source, created: which backup, whose it is, and of when (ISO 8601, UTC).
        tables: rows by table, named as in the manifest.
        beside: the new schema of the live database, or the new SQLite file.
    """

    beside: str
    tables: dict[str, int]
    backup: str
    created: str
    source: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return dataclasses.asdict(self)


def plan_tables(conf: DeployConf, manifest: Manifest, tables: Sequence[str], *, beside: str) -> TablesPlan:
    """What `restore_tables` will do.

    Raises:
        Refusal: deploy.B013 another engine's backup; B049 a table that it has not; B014 a name that cannot
            be used, or is taken.
    """
    engine = engine_of(conf)
    if manifest.engine != engine.kind:
        raise Refusal(WRONG_ENGINE(id=manifest.id, theirs=manifest.engine, ours=engine.kind))
    found = dict.fromkeys(_resolved(manifest, table) for table in tables)
    for first, second in _same_names(tuple(found)):
        near = f"{first} would have the same name in the new schema: restore it into another one"
        raise Refusal(TABLE_UNKNOWN(id=manifest.id, table=second, near=near))
    return TablesPlan(
        backup=manifest.id,
        source=str(manifest.identity),
        created=manifest.created.isoformat(),
        tables={table: manifest.tables[table] for table in found},
        beside=engine.check_beside(beside),
    )


def restore_tables(
    conf: DeployConf, bucket: Bucket, manifest: Manifest, plan: TablesPlan, *, step: Step
) -> dict[str, Any]:
    """Fill a scratch database with the tables, compare them with the manifest, copy them to `plan.beside`.

    Killed before the last step, a scratch database is left, which `drop_stale_scratch` and the same call
    clear away; that step is one transaction (PostgreSQL) or one rename (SQLite).

    Returns:
        Facts: `beside`, `backup`, `tables`, `rows`, `digested_tables`, of these `sampled_tables` by a sample,
        and what engines tell in `_seconds`.

    Raises:
        Refusal: deploy.B006, B007 (exit code 1) when a table differs; the others as `restore_into`.
    """
    engine = engine_of(conf)
    digest = hashlib.sha256(plan.beside.encode()).hexdigest()[:13]
    scratch = engine.scratch_name(scratch_prefix(conf), f"tables_{digest}")
    with engine.locked(scratch, "restoring into"):
        engine.drop(scratch)
        try:
            seconds = engine.fill_tables(Saved(bucket, manifest, step), scratch, tuple(plan.tables))
            digested = _compare(engine, manifest, scratch, plan, step)
            engine.move_tables(scratch, tuple(plan.tables), plan.beside)
        finally:
            engine.drop(scratch)
    return {
        "beside": plan.beside,
        "backup": manifest.id,
        "tables": len(plan.tables),
        "rows": sum(plan.tables.values()),
        "digested_tables": digested,
        "sampled_tables": len(manifest.samples.keys() & plan.tables.keys()),
        **{key: round(value, 3) for key, value in seconds.items()},
    }


def _compare(engine: Engine, manifest: Manifest, scratch: str, plan: TablesPlan, step: Step) -> int:
    """Refuse tables that are not as the manifest says; returns how many were digested."""
    saved = dataclasses.replace(
        manifest,
        tables=plan.tables,
        digests={table: digest for table, digest in manifest.digests.items() if table in plan.tables},
        samples={table: rows for table, rows in manifest.samples.items() if table in plan.tables},
        objects={},
        definitions={},
        sequences={},
    )
    found = engine.contents(scratch, saved)
    rows = {table: count for table, count in found.tables.items() if table in plan.tables}
    if unequal := list(differences(saved, Contents(rows, found.digests))):
        step.extend(unequal)
        raise Refusal(*unequal, exit_code=1)
    return len(saved.digests)


def _resolved(manifest: Manifest, table: str) -> str:
    """The manifest's name of a table that may be named without its schema."""
    if table in manifest.tables:
        return table
    matching = [known for known in manifest.tables if known.partition(".")[2] == table]
    if len(matching) == 1:
        return matching[0]
    names = {known.partition(".")[2] or known: known for known in manifest.tables}
    close = matching or [names[name] for name in difflib.get_close_matches(table, names)]
    near = f"did you mean {' or '.join(close)}" if close else f"it has {len(manifest.tables)} others"
    raise Refusal(TABLE_UNKNOWN(id=manifest.id, table=table, near=near))


def _same_names(tables: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of tables of several schemas that a single one could not hold."""
    seen: dict[str, str] = {}
    return [
        (seen[name], table)
        for table in tables
        if seen.setdefault(name := table.partition(".")[2] or table, table) != table
    ]
