"""The few models that a judgement is about, built without all others.

Django builds the models of a state together, and again whenever one that they refer to changes: on a large
project that is most of the work. SQL for one table needs its own model whole, and of those that it refers
to only what it can refer to: their tables and keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps as installed
from django.db import connection
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations.state import ModelState, ProjectState, StateApps

# App label and model name in lower case, as in ProjectState.models.
ModelKey = tuple[str, str]
# A model or field that was left out, and why.
Lost = tuple[str, str]

_TABLES = "_tables_of_deploy"
_OPTIONS_OF_STUBS = ("db_table", "managed", "proxy", "swappable")
_KEPT = 128


@dataclass(frozen=True)
class Built:
    """Models of a state: `roots` whole, what they refer to as far as they need it; `lost` is left out."""

    apps: StateApps
    roots: frozenset[ModelKey]
    lost: tuple[Lost, ...]
    sources: tuple[object, ...]  # held, so that the identities in the cache's keys stay theirs
    made: dict[Any, Any] = field(default_factory=dict)  # what others made of these models and keep with them

    def models(self) -> list[Any]:
        """The roots and their automatic many-to-many tables' models; no swapped ones."""
        found = []
        for model in self.apps.get_models(include_auto_created=True):
            creator: Any = model._meta.auto_created
            owner = creator._meta if creator else model._meta
            if (owner.app_label, owner.model_name) in self.roots:
                found.append(model)
        return found

    def as_state(self, state: ProjectState) -> ProjectState:
        """`state`, with these models where an operation asks for built ones."""
        view = ProjectState(state.models, state.real_apps)
        view.__dict__["apps"] = self.apps
        return view


_built: OrderedDict[tuple[Any, ...], Built] = OrderedDict()


def build(state: ProjectState, roots: Iterable[ModelKey]) -> Built:
    """Build these models of `state`; keys that it does not have are passed over.

    The `ModelState` objects of `state` must never change once they were built (see `advance`).
    """
    whole = {key: state.models[key] for key in sorted(set(roots)) if key in state.models}
    stubs, lost, gone = _referenced(state, whole)
    signature = (
        tuple((key, id(model)) for key, model in whole.items()),
        tuple((key, *_identity(model, names)) for key, (model, names) in sorted(stubs.items())),
    )
    if signature in _built:
        _built.move_to_end(signature)
        return _built[signature]
    parts = {
        key: _without(model, gone.get(key, ()))
        for key, model in whole.items()
        if key not in gone or gone[key]
    }
    parts |= {key: _stub(model, names) for key, (model, names) in stubs.items()}
    sources = (*whole.values(), *(model for model, _ in stubs.values()))
    made = Built(StateApps([], parts, ignore_swappable=True), frozenset(whole), tuple(lost), sources)
    _built[signature] = made
    if len(_built) > _KEPT:
        _built.popitem(last=False)
    return made


def forget() -> None:
    """Drop what is kept; for a project whose settings changed (tests)."""
    _built.clear()


def _referenced(
    state: ProjectState, whole: dict[ModelKey, ModelState]
) -> tuple[dict[ModelKey, tuple[ModelState, frozenset[str]]], list[Lost], dict[ModelKey, tuple[str, ...]]]:
    """What `whole` needs of other models, what leads nowhere, and the fields to leave out for that.

    No fields stand for the whole model: its base is missing.
    """
    stubs: dict[ModelKey, tuple[ModelState, frozenset[str]]] = {}
    lost: list[Lost] = []
    gone: dict[ModelKey, tuple[str, ...]] = {}
    queue: list[tuple[ModelKey, ModelState, frozenset[str] | None]] = [
        (key, model, None) for key, model in whole.items()
    ]
    while queue:
        key, model, only = queue.pop()
        for name, target, wanted in relations(model):
            if only is not None and name and name not in only:
                continue
            if target in whole:
                continue
            found = state.models.get(target) or _unmigrated(state, target)
            if found is None:
                label = f"{key[0]}.{model.name}" + (f".{name}" if name else "")
                lost.append((label, f"it refers to {'.'.join(target)}, which no migration makes"))
                gone[key] = (*gone.get(key, ()), name) if name else ()
                continue
            names = _kept_names(found, wanted)
            if target in stubs:
                names |= stubs[target][1]
                if names == stubs[target][1]:
                    continue
            stubs[target] = (found, names)
            queue.append((target, found, names))
    return stubs, lost, gone


def _kept_names(model: ModelState, wanted: str) -> frozenset[str]:
    keys = {name for name, one in model.fields.items() if one.primary_key}
    return frozenset(keys | ({wanted} if wanted in model.fields else set()))


def relations(model: ModelState) -> list[tuple[str, ModelKey, str]]:
    """(field or "" for a base, the model that it leads to, the field there or "")."""
    found = [("", _key(base, model), "") for base in model.bases if isinstance(base, str)]
    for name, one in model.fields.items():
        remote: Any = one.remote_field
        if remote is None:
            continue
        found.append((name, _key(remote.model, model), str(getattr(remote, "field_name", None) or "")))
        if through := getattr(remote, "through", None):
            found.append((name, _key(through, model), ""))
    own = (model.app_label, model.name_lower)
    return [each for each in found if each[1] != own]


def _key(target: Any, model: ModelState) -> ModelKey:
    if not isinstance(target, str):
        return (target._meta.app_label, target._meta.model_name)
    app, _, name = target.rpartition(".")
    if name == "self":
        return (model.app_label, model.name_lower)
    return (app or model.app_label, name.lower())


def _unmigrated(state: ProjectState, key: ModelKey) -> ModelState | None:
    if key[0] not in state.real_apps:
        return None
    try:
        return ModelState.from_model(installed.get_model(*key), exclude_rels=True)
    except LookupError:
        return None


def _identity(model: ModelState, names: frozenset[str]) -> tuple[Any, ...]:
    options = tuple(str(model.options.get(name)) for name in _OPTIONS_OF_STUBS)
    return (options, model.bases, tuple((name, id(model.fields[name])) for name in sorted(names)))


def _stub(model: ModelState, names: frozenset[str]) -> ModelState:
    """The model as others see it who refer to it: its table and these fields."""
    options = {name: model.options[name] for name in _OPTIONS_OF_STUBS if name in model.options}
    fields = {name: one for name, one in model.fields.items() if name in names}
    return ModelState(model.app_label, model.name, fields, options, model.bases)


def _without(model: ModelState, names: Collection[str]) -> ModelState:
    if not names:
        return model
    fields = {name: one for name, one in model.fields.items() if name not in names}
    return ModelState(model.app_label, model.name, fields, dict(model.options), model.bases, model.managers)


def tables(model: ModelState) -> list[str]:
    """The table of the model and those of its automatic many-to-many fields, as Django names them."""
    longest = connection.ops.max_name_length()
    known: tuple[int | None, list[str]] | None = model.__dict__.get(_TABLES)
    if known is not None and known[0] == longest:
        return known[1]
    found = _tables(model, longest)
    model.__dict__[_TABLES] = (longest, found)  # a copy of the model comes without it
    return found


def _tables(model: ModelState, longest: int | None) -> list[str]:
    own = str(
        model.options.get("db_table") or truncate_name(f"{model.app_label}_{model.name_lower}", longest)
    )
    found = [own]
    for name, one in model.fields.items():
        if one.many_to_many and not getattr(one.remote_field, "through", None):
            given: Any = getattr(one, "db_table", None)
            found.append(str(given or truncate_name(f"{strip_quotes(own)}_{name}", longest)))
    return found
