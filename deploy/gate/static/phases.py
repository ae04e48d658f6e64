"""Expand or contract: which migrations wait for the switch, and the findings that say why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding

from ..findings import CONTRACT, NULLS_APPEAR, ORDER, ORPHAN_REFERENCE, SPLIT, STAYS_UNIQUE, TRUSTED
from ..graph.offline import Collected
from ..graph.plan import MigrationKey, place
from ..graph.source import place_of
from ..sql.effect import Effect
from . import advice
from .catalog import Catalog
from .compat import UPSERT, Breakage
from .declared import NOT_CONTRACT, NOT_EXPAND, Phase


def waiting_for(
    loader: MigrationLoader, pending: Iterable[MigrationKey], broken: set[MigrationKey]
) -> dict[MigrationKey, MigrationKey]:
    """The postponed migrations, each with the one that makes it wait (itself, when it breaks the old
    code).
    """
    waiting: dict[MigrationKey, MigrationKey] = {}
    for key in pending:
        if key in broken:
            waiting[key] = key
            continue
        for parent in sorted(node.key for node in loader.graph.node_map[key].parents):
            if parent in waiting:
                waiting[key] = waiting[parent]
                break
    return waiting


def phase_findings(
    one: Collected,
    before: ProjectState,
    old: Catalog,
    broken: dict[MigrationKey, list[Breakage]],
    needed: dict[MigrationKey, list[Breakage]],
    blockers: dict[MigrationKey, MigrationKey],
    declared: Phase | None,
) -> list[Finding]:
    """Why the migration runs when it does, and whether it may; `declared` is what it says of itself."""
    where = _where(one, (*broken.get(one.key, ()), *needed.get(one.key, ())), old)
    blocker = blockers.get(one.key)
    old_text = "; ".join(each.text for each in broken.get(one.key, [])[:3])
    new_text = "; ".join(each.text for each in needed.get(one.key, [])[:3])
    found: list[Finding] = []
    if one.key in broken and one.key in needed:
        fields = frozenset((each.model.rpartition(".")[2].lower(), each.field) for each in broken[one.key])
        code = advice.split_advice(one.migration.operations, before, one.key[0], fields)
        found.append(SPLIT(old=old_text, new=new_text, code=code, place=where))
    elif one.key in broken and declared == "expand" and _is_certain(broken[one.key]):
        found.append(NOT_EXPAND(problem=f"the deployed code breaks ({old_text})", place=where))
    elif one.key in broken and declared == "expand":
        found.append(TRUSTED(old=old_text, place=where))
    elif one.key in broken and (declared == "contract" or not _is_certain(broken[one.key])):
        found.append(_as_wished(CONTRACT(old=old_text, place=where)))
    elif one.key in broken:
        found.append(CONTRACT(old=old_text, place=where))
    elif one.key in needed and blocker == one.key:
        found.append(NOT_CONTRACT(new=new_text, place=where))
    elif one.key in needed:
        found.append(ORDER(new=new_text, blocker=place(blockers[one.key]), place=where))
    elif blocker == one.key:
        found.append(_as_wished(CONTRACT(old="it is declared so", place=where)))
    elif blocker and declared == "expand":
        problem = f"it depends on {place(blocker)}, which waits until after the switch"
        found.append(NOT_EXPAND(problem=problem, place=where))
    elif blocker:
        found.append(_as_wished(CONTRACT(old=f"it depends on {place(blocker)}", place=where)))
    found += [
        STAYS_UNIQUE(model=each.model, columns=each.column, place=where)
        for each in broken.get(one.key, ())
        if each.statements == UPSERT
    ]
    for effect in one.effects:
        table = old.tables.get(effect.table)
        if effect.kind == "drop_not_null" and table and effect.column in table.columns:
            found.append(NULLS_APPEAR(table=effect.table, column=effect.column, place=where))
    return found


def _where(one: Collected, breaks: Sequence[Breakage], old: Catalog) -> str:
    """The operation that breaks it: the one that touches its column, or else the first that touches its
    table.
    """
    for each in breaks:
        table = next((table for table in old.tables.values() if table.model == each.model), None)
        column = each.column or next(
            (c.name for c in (table.columns.values() if table else ()) if c.field == each.field), each.field
        )
        tables = {each.table, table.name if table else ""} - {""}
        touching = [
            (_is_it(effect, column, each.reason), -statement.position)
            for statement in one.statements
            for effect in statement.effects
            if effect.table in tables or effect.new in tables
        ]
        if touching:
            return place_of(one.key, -max(touching)[1])
    return place(one.key)


def _is_it(effect: Effect, column: str, reason: str) -> bool:
    return (bool(column) and column in (effect.column, *effect.columns)) or (
        bool(effect.name) and f" {effect.name} " in f"{reason} "
    )


def _is_certain(found: Iterable[Breakage]) -> bool:
    return any(each.certain for each in found)


def _as_wished(finding: Finding) -> Finding:
    """The deployed code breaks, or would, and nobody needs to be told what to do about it."""
    return replace(
        finding, level="info", hint="Nothing to do: predeploy leaves it out and postdeploy runs it."
    )


def orphans(
    collected: Sequence[Collected], blockers: dict[MigrationKey, MigrationKey], start: Catalog
) -> list[Finding]:
    """Foreign keys that outlive the code that cascaded over them, until postdeploy drops their columns."""
    found: list[Finding] = []
    for one in collected:
        if one.key not in blockers:
            continue
        for effect in one.effects:
            table = start.tables.get(effect.table)
            if table is None or effect.kind not in {"drop_table", "drop_column"}:
                continue
            gone = (
                [table.columns[effect.column]]
                if effect.column in table.columns
                else list(table.columns.values())
            )
            for column in gone:
                if column.references and column.references != table.model:
                    code = (
                        f"migrations.RunSQL('ALTER TABLE {effect.table} DROP CONSTRAINT …'),"
                        f"   # its name: \\d {effect.table} in psql"
                    )
                    found.append(
                        ORPHAN_REFERENCE(
                            table=effect.table,
                            column=column.name,
                            target=column.references,
                            code=code,
                            place=place(one.key),
                        )
                    )
    return found
