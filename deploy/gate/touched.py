"""Tables that migrations change without their statements naming them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.migrations.state import ProjectState

from .catalog import bare
from .offline import Collected
from .states import usable


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
        bare(model._meta.db_table)
        for state in (old, new)
        if apps
        for model in usable(state)[0].apps.get_models(include_auto_created=True)
        if model._meta.app_label in apps
    }


def tables_of_dropped_indexes(collected: Sequence[Collected], state: ProjectState) -> set[str]:
    """DROP INDEX names no table; an index that is a model's constraint has one."""
    dropped = {effect.name for one in collected for effect in one.effects if effect.kind == "drop_index"}
    named = [
        key
        for key, model in state.models.items()
        if dropped and dropped & {one.name for one in model.options.get("constraints", ())}
    ]
    if not named:
        return set()
    sound = usable(state)[0]
    return {bare(sound.apps.get_model(*key)._meta.db_table) for key in named if key in sound.models}
