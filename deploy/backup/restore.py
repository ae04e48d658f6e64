"""Restore a backup into a new database and compare it with the manifest: the proof of the backup."""

from __future__ import annotations

import time
from typing import Any

from deploy.buckets import Bucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .catalog import open_archive
from .contents import differences
from .engines import Engine, engine_of
from .findings import DATABASE_EXISTS, WRONG_ENGINE
from .manifest import Manifest
from .scratch import require_scratch, scratch_prefix


def restore_into(
    conf: DeployConf, bucket: Bucket, manifest: Manifest, *, name: str, step: Step
) -> dict[str, Any]:
    """Restore into the scratch database `name` (see `scratch_name`); one that was left behind is dropped.

    A difference from the manifest is a finding of the step, and the scratch database stays for a look at it;
    a restore that fails leaves none.

    Returns:
        Facts: `database`, `backup`, `tables`, `rows`, `digested_tables`, `raw_bytes`, `restore_seconds`,
        `check_seconds`.

    Raises:
        Refusal: deploy.B010 when `name` is not a scratch name; deploy.B004, B005 (exit code 1) when the
            archive is damaged or can't be restored; deploy.D006, D007, D009.
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

    It is filled under a scratch name and renamed when it is whole. Killed before that, a scratch database is
    left, which the same call clears away, and so does `drop_stale_scratch` (a SQLite file in another folder
    than the live one's: only the call).

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
        try:
            engine.rename(filling, name)
        except BaseException:
            engine.drop(filling)
            raise
    return {**facts, "database": name}


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
    with open_archive(bucket, manifest, manifest.parts[0], step) as raw:
        engine.restore(manifest, raw, name, grants=grants)
    restored = time.monotonic()
    try:
        contents = engine.contents(name, manifest)
    except BaseException:
        engine.drop(name)
        raise
    step.extend(differences(manifest, contents))
    return {
        "database": name,
        "backup": manifest.id,
        "tables": len(contents.tables),
        "rows": sum(contents.tables.values()),
        "digested_tables": len(manifest.digests),
        "raw_bytes": manifest.raw_bytes,
        "restore_seconds": round(restored - began, 3),
        "check_seconds": round(time.monotonic() - restored, 3),
    }
