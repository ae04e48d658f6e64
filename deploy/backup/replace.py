"""Put a backup in the live database's place: restored beside it, compared, then swapped in by name."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from deploy.buckets import Bucket
from deploy.conf import DeployConf
from deploy.databases.postgresql import IN_USE
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .engines import Engine, engine_of
from .findings import WRONG_ENGINE
from .findings_of_restore import RESTORED_KEPT
from .kept import MOMENT_PATTERN, kept_name, told_of_swap
from .manifest import Manifest
from .restore import fill
from .scratch import scratch_prefix


@dataclass(frozen=True, slots=True)
class ReplacePlan:
    """What replacing the live database would do.

    Attributes:
        backup, source: the backup's id and whose it is.
        live: the database that is replaced. new: where the backup is restored first.
        old: the name under which the live one is kept, with a pattern for the swap's moment (UTC); empty when
            there is no live one.
        connections: to the live database now; the swap ends them, with what they have not committed.
        created: the backup's age as ISO 8601, UTC: everything after it is only in `old`.
    """

    live: str
    old: str
    backup: str
    created: str
    release: str
    rows: int
    stored_bytes: int
    source: str
    new: str
    connections: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return asdict(self)


def plan_replace(conf: DeployConf, manifest: Manifest) -> ReplacePlan:
    """What `replace_database` will do with this backup.

    Raises:
        Refusal: deploy.B013 when it is of another engine; deploy.B107, D006 when the role may not rename the
            live database.
    """
    engine = engine_of(conf)
    if manifest.engine != engine.kind:
        raise Refusal(WRONG_ENGINE(id=manifest.id, theirs=manifest.engine, ours=engine.kind))
    engine.require_replaceable()
    return ReplacePlan(
        backup=manifest.id,
        source=str(manifest.identity),
        live=engine.database_name(),
        new=engine.scratch_name(scratch_prefix(conf), f"restore_{secrets.token_hex(4)}"),
        old=engine.replaced_name(MOMENT_PATTERN) if engine.is_there() else "",
        connections=engine.connections(),
        created=manifest.created.isoformat(),
        release=manifest.release,
        rows=sum(manifest.tables.values()),
        stored_bytes=manifest.stored_bytes,
    )


def replace_database(
    conf: DeployConf,
    bucket: Bucket,
    manifest: Manifest,
    *,
    guard: Callable[[], None],
    step: Step,
    plan: ReplacePlan | None = None,
) -> dict[str, Any]:
    """Restore the backup beside the live database, compare it, and swap the two; the old one is kept.

    The swap is one transaction (PostgreSQL) or one rename (SQLite). Killed before it, a scratch database is
    left, which `drop_stale_scratch` removes; killed after it, the work is done.

    Returns:
        Facts: `restore_into`'s, with `database` the live name, and `kept_as` (empty: there was no live one).

    Raises:
        Refusal: nothing was swapped; with exit code 1 when the restored database differs. When only the
            clients of the live one stood in the way (deploy.D008), the restored one is kept for
            `swap_back` (deploy.B108).
    """
    engine = engine_of(conf)
    plan = plan or plan_replace(conf, manifest)
    with engine.locked(plan.live, "replacing"), engine.locked(plan.new, "restoring into"):
        guard()
        facts = fill(engine, bucket, manifest, name=plan.new, step=step, grants=True)
        try:
            _require_equal(step)
            guard()
            old = kept_name(engine)  # the name says until when it was live
            left_out = _swap(engine, manifest, plan, old)
        except BaseException:
            engine.drop(plan.new)
            raise
    old = old if engine.exists(old) else ""
    told_of_swap(step, plan.live, old, left_out, now=f"backup {manifest.id}")
    return {**facts, "database": plan.live, "kept_as": old}


def _swap(engine: Engine, manifest: Manifest, plan: ReplacePlan, old: str) -> list[str]:
    try:
        return engine.swap(new=plan.new, old=old)
    except Refusal as refusal:
        if all(finding.id != IN_USE.id for finding in refusal.findings):
            raise
        # Hours of loading are not thrown away for one client: under this name it is swapped in later.
        engine.rename(plan.new, old)
        kept = RESTORED_KEPT(id=manifest.id, old=old, live=plan.live)
        raise Refusal(*refusal.findings, kept, exit_code=refusal.exit_code) from refusal


def _require_equal(step: Step) -> None:
    if errors := [finding for finding in step.findings if finding.level == "error"]:
        raise Refusal(*errors, exit_code=1)
