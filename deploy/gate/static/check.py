"""The static gate: which migrations are judged, against which code, and what people have answered for."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from django.db.migrations.loader import MigrationLoader

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding

from ..acknowledgements import settle
from ..findings import DEPLOYED_UNKNOWN
from ..graph import plan
from ..graph.plan import MigrationKey, place
from .baseline_file import with_baseline
from .drift import model_changes
from .edited import edited_findings
from .judgement import GateReport, judge, judge_each
from .since import base_of
from .way_back import way_back

__all__ = ["GateReport", "check", "judge"]


def check(
    conf: DeployConf,
    *,
    alias: str | None = None,
    deployed: frozenset[MigrationKey] | None,
    everything: bool = False,
    since: str | None = None,
    recorded: Mapping[str, tuple[str, str]] | None = None,
    baseline: bool = True,
) -> GateReport:
    """Judge what database `alias` has not applied yet, against the code that has run `deployed`.

    With `deployed=None` the deployed code is taken to be the one whose migrations are applied. Two ways ask
    no database: with `everything` each migration of the project's own history is judged as a release of its
    own (the old code is the state before it); with `since` those that were added since HEAD left that Git
    branch, tag or commit are, as one release on top of what is there. Nothing is written.

    `recorded` are digests of applied migrations by place, and who recorded them (see `edited`). Without
    `baseline` the project's baseline file is left out of account.

    Raises:
        Refusal: an unsupported engine, an unreachable database, a graph that can't be built, a `since` that
        Git does not know.
    """
    alias = alias or conf.database
    plan.require_supported(alias)
    asked = None if everything or since is not None else alias
    version = conf.postgresql_version * 10_000
    loader = plan.load_leniently(asked)
    found = [*loader.problems, *plan.graph_findings(loader, asked)]
    applied: frozenset[MigrationKey] = frozenset()
    if everything:
        with _patient_collector():
            report = judge_each(loader, alias, default_version=version)
    else:
        if since is not None:
            base = base_of(loader, since, conf.base_dir)
            applied = deployed = base.known
            recorded = base.recorded
            pending = [
                key for key in plan.full_plan(loader) if not plan.is_in(key, loader.graph.nodes[key], applied)
            ]
        else:
            applied = frozenset(loader.applied_migrations)
            pending = plan.pending(loader)
            found += _unknown_to_image(loader, deployed)
        report = judge(
            loader, pending, applied=applied, deployed=deployed, alias=alias, default_version=version
        )
    if not loader.detect_conflicts():
        found += model_changes(loader, alias, unknown=loader.unreadable)

    def alone(keys: Collection[MigrationKey]) -> tuple[Finding, ...]:
        return () if everything else judge_each(loader, alias, only=keys, default_version=version).findings

    own = {key: loader.graph.nodes[key] for key in report.pending if plan.is_own(key[0])}
    edited = edited_findings(loader.disk_migrations, applied, recorded or {})
    changed = {finding.place for finding in edited}
    settled = settle(
        tuple(dict.fromkeys((*found, *edited, *report.findings))),
        {**{key: one for key, one in loader.disk_migrations.items() if place(key) in changed}, **own},
        today=datetime.now(UTC).date(),
        alone=alone,
    )
    if baseline:
        settled = with_baseline(conf, settled, loader, judged=report.pending if everything else ())
    ways = () if everything else tuple(way_back(key, migration) for key, migration in own.items())
    return replace(report, findings=tuple(_in_order(settled, report.pending)), ways_back=ways)


_RANK = {"error": 0, "warning": 1, "info": 2}


def _in_order(findings: Collection[Finding], pending: Collection[MigrationKey]) -> list[Finding]:
    """By migration, in the order in which they run; what stops a release before what does not."""
    position = {place(key): number for number, key in enumerate(pending)}
    return sorted(findings, key=lambda one: (position.get(one.place or "", -1), _RANK[one.level]))


@contextmanager
def _patient_collector() -> Iterator[None]:
    """Every state of the models is a knot of classes: with Python's thresholds, a third of the time goes into
    looking for garbage, and more the longer the history is.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _unknown_to_image(loader: MigrationLoader, deployed: frozenset[MigrationKey] | None) -> list[Finding]:
    replaced = {old for one in loader.disk_migrations.values() for old in one.replaces}
    missing = sorted((deployed or frozenset()) - set(loader.disk_migrations) - replaced)
    if not missing:
        return []
    names = ", ".join(place(key) for key in missing[:5])
    return [DEPLOYED_UNKNOWN(count=len(missing), names=names)]
