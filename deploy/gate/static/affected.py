"""Which tables the pending migrations may change: the ones that are worth a closer look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from ..graph.offline import collect
from ..graph.plan import MigrationKey
from ..sql.effect import Effect
from .catalog import bare

# So many models are looked at closely where nobody can tell which tables a statement changes.
_ALL_IS_FEW = 40
# Kinds that change tables without naming them: what uses a type, function, domain or enum; blocks of code.
_ANYWHERE = {"opaque", "unreadable", "gone", "other", "create_domain"}


def affected_tables(
    loader: MigrationLoader,
    keys: Sequence[MigrationKey],
    state: ProjectState,
    alias: str,
    known: Iterable[type[models.Model]],
) -> frozenset[str]:
    """Bare names of tables; `state`, which `keys` are applied to, is moved on."""
    every = frozenset(bare(model._meta.db_table) for model in known)
    found: set[str] = set()
    anywhere = False
    for key in keys:
        collected = collect(key, loader.graph.nodes[key], state, alias)
        # Of RunPython there is no statement: it may run any.
        silent = len({one.position for one in collected.statements}) < len(collected.migration.operations)
        anywhere = anywhere or bool(collected.unknown) or silent
        for effect in collected.effects:
            anywhere = anywhere or (effect.kind in _ANYWHERE and not effect.table)
            found |= _tables(effect)
    if anywhere and len(every) <= _ALL_IS_FEW:
        return every
    return frozenset(found) & every


def _tables(effect: Effect) -> set[str]:
    return {name for name in (effect.table, effect.new if effect.kind == "rename_table" else "") if name}
