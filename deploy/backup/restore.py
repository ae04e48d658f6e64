"""Restore a backup into a new database and compare it with the manifest: the proof of the backup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from deploy.buckets import Bucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .catalog import open_archive
from .contents import differences
from .engines import Engine, engine_of
from .findings import DATABASE_EXISTS, WRONG_ENGINE
from .findings_of_restore import NOT_NAMED
from .manifest import Manifest, Part
from .scratch import require_scratch, scratch_prefix


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup whose archives an engine can open; `step` gets progress and findings."""

    bucket: Bucket
    manifest: Manifest
    step: Step

    def open(self, part: Part, *, told: bool = True) -> AbstractContextManager[Iterator[bytes]]:
        """One archive's raw bytes, to be written and forgotten (see `open_archive`).

        With `told`, the step hears of the progress.
        """
        step = self.step if told else Step(self.step.name)
        return open_archive(self.bucket, self.manifest, part, step, lasting=False)


def restore_into(
    conf: DeployConf, bucket: Bucket, manifest: Manifest, *, name: str, step: Step
) -> dict[str, Any]:
    """Restore into the scratch database `name` (see `scratch_name`); one that was left behind is dropped.

    A difference from the manifest is a finding of the step, and the scratch database stays for a look at it;
    a restore that fails leaves none.

    Returns:
        Facts: `database`, `backup`, `tables`, `rows`, `digested_tables`, of these `sampled_tables` by a
        sample, `raw_bytes`; `restore_seconds`, of which PostgreSQL tells `read_seconds` (from the
        bucket, unpacked), `load_seconds` (rows),
        `index_seconds` (indexes and constraints) and `analyze_seconds`; `check_seconds` of the comparison;
        `rto_seconds`, from the first byte read to the compared database.

    Raises:
        Refusal: deploy.B010 when `name` is not a scratch name; deploy.B041, B043, B044 for what the server
            lacks; deploy.B004, B005, B042, B045 (exit code 1) when the archive is damaged or can't be
            restored; deploy.D006, D007, D009.
    """
    engine, prefix = engine_of(conf), scratch_prefix(conf)
    require_scratch(conf, engine, name, prefix)
    with engine.locked(name, "restoring into"):
        engine.drop(name)
        return fill(engine, bucket, manifest, name=name, step=step)


def restore_beside(
    conf: DeployConf, bucket: Bucket, manifest: Manifest, *, name: str, step: Step
) -> dict[str, Any]:
    """Restore into the new database `name`, which must not be there; the facts are `restore_into`'s.

    It is filled under a scratch name and renamed when it is whole and as it was saved. When it differs, the
    scratch database stays for a look (deploy.B110) and is the fact `database`. That one, and what is left
    when this is killed, the same call clears away, and so does `drop_stale_scratch` (a SQLite file in another
    folder than the live one's: only the call).

    Raises:
        Refusal: deploy.B009 when there is one; the others as `restore_into`.
    """
    engine = engine_of(conf)
    name = engine.check_name(name)
    filling = engine.filling_name(scratch_prefix(conf), name)
    with engine.locked(name, "restoring into"), engine.locked(filling, "restoring into"):
        if engine.exists(name):
            raise Refusal(DATABASE_EXISTS(name=name))
        engine.drop(filling)
        facts = fill(engine, bucket, manifest, name=filling, step=step)
        if any(finding.level == "error" for finding in step.findings):
            step.add(NOT_NAMED(id=manifest.id, name=name, scratch=filling))
            return facts
        try:
            engine.rename(filling, name)
        except BaseException:
            engine.drop(filling)
            raise
    return {**facts, "database": name}


def require_new(conf: DeployConf, name: str) -> str:
    """The name as `restore_beside` will use it. Raises Refusal: deploy.B009, B014."""
    engine = engine_of(conf)
    name = engine.check_name(name)
    if engine.exists(name):
        raise Refusal(DATABASE_EXISTS(name=name))
    return name


def fill(
    engine: Engine, bucket: Bucket, manifest: Manifest, *, name: str, step: Step, grants: bool = False
) -> dict[str, Any]:
    """Make the database `name` of the backup and compare; the caller holds the lock on the name.

    `grants` is for the live database: other roles than its owner must be able to use it, and a scratch
    database needs none of them.
    """
    if manifest.engine != engine.kind:
        raise Refusal(WRONG_ENGINE(id=manifest.id, theirs=manifest.engine, ours=engine.kind))
    began = time.monotonic()
    seconds = engine.restore(Saved(bucket, manifest, step), name, grants=grants)
    restored = time.monotonic()
    try:
        contents = engine.contents(name, manifest)
    except BaseException:
        engine.drop(name)
        raise
    compared = time.monotonic()
    step.extend(differences(manifest, contents))
    return {
        "database": name,
        "rows": sum(contents.tables.values()),
        "rto_seconds": round(compared - began, 3),
        "backup": manifest.id,
        "tables": len(contents.tables),
        "digested_tables": len(manifest.digests),
        "sampled_tables": len(manifest.samples),
        "raw_bytes": manifest.raw_bytes,
        **{key: round(value, 3) for key, value in seconds.items()},
        "restore_seconds": round(restored - began, 3),
        "check_seconds": round(compared - restored, 3),
    }
