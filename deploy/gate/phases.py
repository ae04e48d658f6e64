"""Expand or contract: which migrations wait for the switch, and the findings that say why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding

from . import advice
from .catalog import Catalog
from .compat import UPSERT, Breakage
from .findings import CONTRACT, NULLS_APPEAR, ORDER, ORPHAN_REFERENCE, SPLIT, STAYS_UNIQUE
from .offline import Collected
from .plan import MigrationKey, place


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
) -> list[Finding]:
    where = place(one.key)
    old_text = "; ".join(each.text for each in broken.get(one.key, [])[:3])
    new_text = "; ".join(each.text for each in needed.get(one.key, [])[:3])
    found: list[Finding] = []
    if one.key in broken and one.key in needed:
        code = advice.split_advice(one.migration.operations, before, one.key[0])
        found.append(SPLIT(old=old_text, new=new_text, code=code, place=where))
    elif one.key in broken:
        found.append(CONTRACT(old=old_text, place=where))
    elif one.key in needed:
        found.append(ORDER(new=new_text, blocker=place(blockers[one.key]), place=where))
    elif one.key in blockers:
        found.append(CONTRACT(old=f"it depends on {place(blockers[one.key])}", place=where))
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
