"""Project states that hold together: models which can't be built are left out, by name."""

from __future__ import annotations

from typing import Any

from django.db.migrations.state import ProjectState
from django.db.models import Field

# Model label and the reason for which it was left out.
Lost = tuple[str, str]


def usable(state: ProjectState) -> tuple[ProjectState, list[Lost]]:
    """`state`, or a copy without the models that keep all others from being built.

    Django builds the models of a state together: one reference that leads nowhere, and there are none.
    """
    try:
        _ = state.apps
    except Exception as error:  # noqa: BLE001 – a project's own classes may raise anything; it is reported
        return _reduced(state, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return state, []


def _reduced(state: ProjectState, problem: str) -> tuple[ProjectState, list[Lost]]:
    copy = ProjectState({key: model.clone() for key, model in state.models.items()}, state.real_apps)
    lost: list[Lost] = []
    while gone := {key: target for key in copy.models if (target := _leads_nowhere(copy, key))}:
        for key, target in gone.items():
            lost.append((_label(copy, key), f"it refers to {target}, which no migration makes"))
            del copy.models[key]
    try:
        _ = copy.apps
    except Exception:  # noqa: BLE001 – `problem` says what was wrong at first
        return ProjectState({}, set()), [*lost, ("of every app", problem)]
    return copy, lost


def _label(state: ProjectState, key: tuple[str, str]) -> str:
    return f"{key[0]}.{state.models[key].name}"


def _leads_nowhere(state: ProjectState, key: tuple[str, str]) -> str:
    """The base or referenced model of `key` that the state lacks, as `app.model`; empty when none is."""
    model = state.models[key]
    targets: list[Any] = [base for base in model.bases if isinstance(base, str)]
    for one in model.fields.values():
        targets += _referenced(one)
    for target in targets:
        name = str(target if isinstance(target, str) else target._meta.label).lower()
        app, _, model_name = name.rpartition(".")
        if model_name == "self":
            continue
        if (app or key[0], model_name) not in state.models and (app or key[0]) not in state.real_apps:
            return f"{app or key[0]}.{model_name}"
    return ""


def _referenced(one: Field[Any, Any]) -> list[Any]:
    remote: Any = one.remote_field
    if remote is None:
        return []
    return [each for each in (remote.model, getattr(remote, "through", None)) if each is not None]
