"""Project states moved over operations without copying what does not change.

The `ModelState` objects of a state are never changed: an operation gets copies of those that it may change.
So a state before it is a copy of a dictionary, and what was built of a model stays true for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.migrations import operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.state import ModelState, ProjectState

from .sparse import ModelKey, relations

_CHANGES_NOTHING = (operations.CreateModel, operations.DeleteModel, operations.RunPython)
_CHANGES_OTHERS = (operations.RenameModel, operations.RenameField)


def snapshot(state: ProjectState) -> ProjectState:
    """`state` as it is now, whatever it is moved over later."""
    return ProjectState(dict(state.models), state.real_apps)


def unshare(state: ProjectState, app_label: str, operation: Operation) -> None:
    """Give `state` copies of its own of the models that `operation` may change."""
    keys = _changed(state, app_label, operation)
    for key in state.models if keys is None else keys & set(state.models):
        state.models[key] = state.models[key].clone()


def _changed(state: ProjectState, app_label: str, operation: Operation) -> set[ModelKey] | None:
    """None: it may be any."""
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return _changed_by(state, app_label, operation.state_operations)
    if isinstance(operation, operations.RunSQL):
        return _changed_by(state, app_label, operation.state_operations)
    if not type(operation).__module__.startswith("django.") or isinstance(operation, _CHANGES_OTHERS):
        return None
    if isinstance(operation, _CHANGES_NOTHING):
        return set()
    if isinstance(operation, FieldOperation | IndexOperation):
        return {(app_label, operation.model_name_lower)}
    if isinstance(operation, ModelOperation):
        return {(app_label, operation.name_lower)}
    return set() if _is_of_postgres(operation) else None


def _is_of_postgres(operation: Operation) -> bool:
    """Django's own, and no subclass of a project that may do more."""
    return type(operation).__module__.startswith("django.contrib.postgres.")


def _changed_by(state: ProjectState, app_label: str, parts: Sequence[Operation]) -> set[ModelKey] | None:
    found: set[ModelKey] = set()
    for part in parts or ():
        keys = _changed(state, app_label, part)
        if keys is None:
            return None
        found |= keys
    return found


def needed(
    operation: Operation, app_label: str, before: ProjectState, after: ProjectState
) -> set[ModelKey] | None:
    """The models that the operation asks for when it makes its SQL; None: it may be any."""
    if isinstance(operation, operations.RunSQL | operations.RunPython):
        return set()
    if isinstance(operation, operations.RenameModel):
        names = {operation.old_name_lower, operation.new_name_lower}
    elif isinstance(operation, FieldOperation | IndexOperation):
        names = {operation.model_name_lower}
    elif isinstance(operation, ModelOperation):
        names = {operation.name_lower}
    elif _is_of_postgres(operation):  # extensions and collations have to do with no model
        names = {str(getattr(operation, "model_name", "")).lower()}
    else:
        return None
    keys = {(app_label, name) for name in names}
    if isinstance(operation, operations.RenameModel) or _is_referenced(operation, app_label, before, after):
        return keys | _referring(keys, before) | _referring(keys, after)
    return keys


def _is_referenced(operation: Operation, app_label: str, before: ProjectState, after: ProjectState) -> bool:
    """It changes a column that foreign keys may lead to, and so has them changed too."""
    if not isinstance(operation, operations.AlterField | operations.RenameField):
        return False
    key = (app_label, operation.model_name_lower)
    names = {operation.name, getattr(operation, "new_name", operation.name)}
    fields = [
        state.models[key].fields.get(name)
        for state in (before, after)
        if key in state.models
        for name in names
    ]
    return any(one is not None and (one.primary_key or one.unique) for one in fields)


def _referring(keys: set[ModelKey], state: ProjectState) -> set[ModelKey]:
    """Models with a reference to one of `keys`, and those that refer to them by such a reference in turn."""
    found: set[ModelKey] = set()
    asked = set(keys)
    while asked:
        more = {
            key
            for key, model in state.models.items()
            if key not in found and any(target in asked for _, target, _ in relations(model))
        }
        found |= more
        asked = {key for key in more if _hands_on(state.models[key])}
    return found


def _hands_on(model: ModelState) -> bool:
    """What refers to this model depends on what it refers to: its key is a reference, or it is a proxy."""
    keys = (one for one in model.fields.values() if one.primary_key or one.unique)
    return bool(model.options.get("proxy")) or any(one.remote_field for one in keys)


def rename_bases(state: ProjectState, app_label: str, operation: Operation) -> None:
    """Let the children and proxies of a renamed model follow it, which Django forgets (`rename_model`)."""
    if not isinstance(operation, operations.RenameModel):
        return
    old, new = f"{app_label}.{operation.old_name_lower}", f"{app_label}.{operation.new_name_lower}"
    for model in state.models.values():
        bases = tuple(new if isinstance(base, str) and base.lower() == old else base for base in model.bases)
        if bases != model.bases:
            model.bases = bases
