"""Tables that migrations change without their statements naming them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.migrations.state import ProjectState

from ..graph.offline import Collected
from ..graph.sparse import tables
from .catalog import bare


def tables_changed_in_code_only(
    collected: Sequence[Collected], old: ProjectState, new: ProjectState
) -> set[str]:
    """Tables whose models changed by operations that made no SQL (SeparateDatabaseAndState, RunSQL's
    state).
    """
    apps = {
        one.key[0]
        for one in collected
        for operation in one.migration.operations
        if getattr(operation, "state_operations", None)
    }
    return {
        bare(name)
        for state in (old, new)
        if apps
        for model in state.models.values()
        if model.app_label in apps
        for name in tables(model)
    }


def tables_of_dropped_indexes(collected: Sequence[Collected], state: ProjectState) -> set[str]:
    """DROP INDEX names no table; an index that is a model's constraint has one."""
    dropped = {effect.name for one in collected for effect in one.effects if effect.kind == "drop_index"}
    return {
        bare(tables(model)[0])
        for model in state.models.values()
        if dropped and dropped & {one.name for one in model.options.get("constraints", ())}
    }
