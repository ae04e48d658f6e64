"""Migrations judged by what they do to the deployed code and to tables in use, without running them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding, has_errors

from ..declarations import phases_of
from ..findings import LOST_AT_THE_END, NEVER_WORKS
from ..findings_of_statements import NOT_JUDGED
from ..graph import plan
from ..graph.offline import Collected, collect
from ..graph.plan import MigrationKey, place
from ..graph.project_findings import MODEL_FAILS
from ..graph.project_sql import ProjectSQL
from ..graph.unconnected import connection_like
from ..graph.walk import snapshot
from .catalog import Catalog
from .compat import Breakage, breakages
from .data_migrations import data_findings
from .declared import declared_phases
from .phases import orphans, phase_findings, waiting_for
from .rules import lock_findings
from .touched import tables_changed_in_code_only, tables_of_dropped_indexes
from .way_back import WayBack


@dataclass(frozen=True, slots=True)
class GateReport:
    """The judgement of a set of migrations.

    Attributes:
        pending: all of them in plan order; `expand` and `contract` part it (expand runs before the switch).
        plan_fingerprint: SHA-256 hex over order, phases and source files.
        drops_only: those of `pending` that only take away; new code never waits for them.
        ways_back: what undoing each of the project's own pending migrations takes, where that was asked.
    """

    pending: tuple[MigrationKey, ...]
    expand: tuple[MigrationKey, ...]
    contract: tuple[MigrationKey, ...]
    findings: tuple[Finding, ...]
    plan_fingerprint: str
    drops_only: tuple[MigrationKey, ...] = ()
    ways_back: tuple[WayBack, ...] = ()

    @property
    def ok(self) -> bool:
        """No error among the findings."""
        return not has_errors(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the report and the ledger."""
        return {
            "pending": [place(key) for key in self.pending],
            "expand": [place(key) for key in self.expand],
            "contract": [place(key) for key in self.contract],
            "plan_fingerprint": self.plan_fingerprint,
            "going_back": [each.as_dict() for each in self.ways_back],
            "findings": [finding.as_dict() for finding in self.findings],
        }


def judge(
    loader: MigrationLoader,
    pending: Sequence[MigrationKey],
    *,
    applied: Collection[MigrationKey],
    deployed: Collection[MigrationKey] | None,
    alias: str,
    default_version: int = 0,
) -> GateReport:
    """Judge `pending` (in plan order) as one release on top of `applied`.

    `default_version` is PostgreSQL's (150003 for 15.3) where no connection is open that tells it; 0: unknown.
    """
    problems: list[Finding] = []
    state = plan.state_of(loader, applied, problems)
    base = snapshot(state)
    old = base if deployed is None else plan.state_of(loader, deployed, problems)
    befores: list[ProjectState] = []
    collected: list[Collected] = []
    for key in pending:
        befores.append(snapshot(state))
        collected.append(collect(key, loader.graph.nodes[key], state, alias))
    version = plan.server_version(alias) or default_version
    found = _verdict(loader, collected, befores, old, state, alias, version, base=base)
    return replace(found, findings=(*dict.fromkeys(problems), *found.findings))


def judge_each(
    loader: MigrationLoader,
    alias: str,
    *,
    only: Collection[MigrationKey] | None = None,
    default_version: int = 0,
) -> GateReport:
    """Judge each own migration (of `only`, if given) as a release of its own, on top of all before it."""
    version = plan.server_version(alias) or default_version
    state = plan.state_of(loader, ())
    keys = plan.full_plan(loader)
    parts: list[GateReport] = []
    problems: list[Finding] = []
    for key in keys:
        if not plan.is_own(key[0]) or (only is not None and key not in only):
            plan.move(state, key, loader.graph.nodes[key], problems)
            continue
        before = snapshot(state)
        collected = collect(key, loader.graph.nodes[key], state, alias)
        parts.append(
            _verdict(loader, [collected], [before], before, state, alias, version, fingerprint=False)
        )
    contract = {key for part in parts for key in part.contract}
    return GateReport(
        tuple(keys),
        tuple(key for key in keys if key not in contract),
        tuple(key for key in keys if key in contract),
        (*problems, *(finding for part in parts for finding in part.findings)),
        plan.fingerprint(loader, [(key, "contract" if key in contract else "expand") for key in keys]),
        tuple(key for part in parts for key in part.drops_only),
    )


def _verdict(
    loader: MigrationLoader,
    collected: Sequence[Collected],
    befores: Sequence[ProjectState],
    old_state: ProjectState,
    new_state: ProjectState,
    alias: str,
    version: int,
    *,
    base: ProjectState | None = None,
    fingerprint: bool = True,
) -> GateReport:
    connection = connection_like(alias)
    vendor = connections[alias].vendor
    touched = {name for one in collected for effect in one.effects for name in (effect.table, effect.new)}
    touched |= tables_changed_in_code_only(collected, old_state, new_state)
    touched |= tables_of_dropped_indexes(collected, old_state)
    touched -= {""}
    pending = tuple(one.key for one in collected)
    if not touched and not any(one.unknown or phases_of(one.migration) for one in collected):
        return _without_effects(loader, collected, befores, vendor, version, fingerprint=fingerprint)
    old = Catalog.of(old_state, connection, touched)
    new = Catalog.of(new_state, connection, touched)
    start = Catalog.of(base, connection, touched) if base is not None else old.copy()
    findings: list[Finding] = [
        NOT_JUDGED(operation=label, problem=problem) for label, problem in dict(new.unreadable).items()
    ]
    findings += [MODEL_FAILS(model=label, problem=problem) for label, problem in new.lost]
    findings += [finding for one in collected for finding in one.broken]
    # 1. Which migrations does the deployed code not survive? They, and what depends on them, wait.
    broken: dict[MigrationKey, list[Breakage]] = {}
    catalog = start.copy()
    seen = set(breakages(old, catalog, touched, upserts=True))
    for one, state in zip(collected, befores, strict=True):
        findings += _of_statements(loader, one, state, catalog, vendor, version)
        now = breakages(old, catalog, touched, upserts=True)
        if vendor == "sqlite":
            now = [one_break for one_break in now if "takes less" not in one_break.reason]
        if fresh := [each for each in now if each not in seen]:
            broken[one.key] = fresh
        seen.update(now)
    declared, unusable = declared_phases(collected, old_state, old)
    findings += unusable
    before = {key for key, phase in declared.items() if phase == "expand"}
    blockers = waiting_for(loader, pending, (set(broken) | set(declared)) - before)
    contract = tuple(key for key in pending if key in blockers)
    # 2. Does the new code live on what is there before the switch?
    half = start.copy()
    for one in collected:
        if one.key not in blockers:
            _replay(half, one)
    missing = lacking = breakages(new, half, touched)
    needed: dict[MigrationKey, list[Breakage]] = {}
    for one in collected:
        if one.key not in blockers:
            continue
        _replay(half, one)
        left = breakages(new, half, touched)
        if repaired := [each for each in missing if each not in left]:
            needed[one.key] = repaired
        lost = "; ".join(each.text for each in left if each not in lacking and each.certain)
        if lost:
            findings.append(LOST_AT_THE_END(new=lost, place=place(one.key)))
        missing, lacking = [each for each in left if each in missing], left
    # A column that the code forgot is known for certain; one that it lacks may come from RunPython.
    findings += [
        NEVER_WORKS(new=each.text, table=each.table, column=each.column, place=place(pending[-1]))
        for each in missing
        if each.column
    ]
    # 3. Say so.
    for one, state in zip(collected, befores, strict=True):
        findings += phase_findings(one, state, old, broken, needed, blockers, declared.get(one.key))
    if vendor == "postgresql":
        findings += orphans(collected, blockers, start)
    phases = [(key, "contract" if key in blockers else "expand") for key in pending if fingerprint]
    return GateReport(
        pending,
        tuple(key for key in pending if key not in blockers),
        contract,
        tuple(findings),
        plan.fingerprint(loader, phases),
        tuple(one.key for one in collected if one.effects and _only_drops(one)),
    )


def _of_statements(
    loader: MigrationLoader, one: Collected, state: ProjectState, catalog: Catalog, vendor: str, version: int
) -> list[Finding]:
    found = lock_findings(one, catalog, vendor, version, ProjectSQL(loader, one.key))
    return [*found, *data_findings(one, state, catalog, vendor)]


def _without_effects(
    loader: MigrationLoader,
    collected: Sequence[Collected],
    befores: Sequence[ProjectState],
    vendor: str,
    version: int,
    *,
    fingerprint: bool,
) -> GateReport:
    pending = tuple(one.key for one in collected)
    findings = [finding for one in collected for finding in one.broken]
    for one, state in zip(collected, befores, strict=True):
        findings += _of_statements(loader, one, state, Catalog(), vendor, version)
    prints = plan.fingerprint(loader, [(key, "expand") for key in pending if fingerprint])
    return GateReport(pending, pending, (), tuple(findings), prints)


def _replay(catalog: Catalog, one: Collected) -> None:
    for effect in one.effects:
        catalog.apply(effect)


def _only_drops(one: Collected) -> bool:
    return all(
        effect.kind in {"drop_table", "drop_column", "drop_constraint", "drop_index"}
        for effect in one.effects
    )
