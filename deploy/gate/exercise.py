"""Does a release's code still work on this schema? Its models' statements, run and rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import DatabaseError, connections, models
from django.db.migrations.state import ProjectState
from django.db.transaction import atomic

from .errors import database_text
from .plan import migrates
from .samples import CannotMake, Maker, Sample, manager, sample

# model label → statement → why it fails
Failures = dict[str, dict[str, str]]


class _RollBack(Exception):  # noqa: N818 – the way out of a savepoint, never seen outside
    pass


def exercised_models(state: ProjectState, alias: str) -> list[type[models.Model]]:
    """The concrete, managed models of `state` that `alias` holds, and their automatic many-to-many tables."""
    found = []
    for model in state.apps.get_models(include_auto_created=True):
        meta = model._meta
        if meta.proxy or not meta.managed or meta.swapped or meta.abstract:
            continue
        if migrates(alias, meta.app_label, meta.model_name):
            found.append(model)
    return found


def take_samples(found: Iterable[type[models.Model]], alias: str) -> dict[str, Sample]:
    """A real row per model, by label, while the schema is still the models' own."""
    return {model._meta.label: sample(model, alias) for model in found}


def exercise(found: Iterable[type[models.Model]], alias: str, samples: dict[str, Sample]) -> Failures:
    """SELECT, INSERT, UPDATE and DELETE of every model, each in a savepoint that is rolled back.

    No signal is sent and no `save` of the project runs: the statements are those that Django's query
    compiler makes from the models. Deferred constraints are checked after each.
    """
    failures: Failures = {}
    maker = Maker(samples, alias)
    for model in found:
        for name, act in _statements(model, alias, maker).items():
            problem = _try(act, alias)
            if problem:
                failures.setdefault(model._meta.label, {})[name] = problem
    return failures


def newly_broken(before: Failures, after: Failures) -> list[tuple[str, str, str]]:
    """(model, statement, problem) for what failed after and not before."""
    return [
        (label, statement, problem)
        for label, statements in after.items()
        for statement, problem in statements.items()
        if statement not in before.get(label, {})
    ]


def _statements(model: type[models.Model], alias: str, maker: Maker) -> dict[str, Callable[[], object]]:
    rows = manager(model, alias)
    known = maker.samples.get(model._meta.label)

    def key() -> Any:
        if known is not None and known.real:
            name = model._meta.pk.attname
            return known.values[name]
        return maker.insert(model)

    def select() -> object:
        return list(rows.order_by("-pk")[:20])

    def insert() -> object:
        return maker.insert(model)

    def update() -> object:
        changed = {
            one.name: known.values[one.attname] if known and known.real else models.F(one.attname)
            for one in model._meta.local_concrete_fields
            if not one.primary_key and not one.generated
        }
        return rows.filter(pk=key()).update(**changed) if changed else None

    def delete() -> object:
        return rows.filter(pk=maker.insert(model))._raw_delete(alias)

    return {"SELECT": select, "INSERT": insert, "UPDATE": update, "DELETE": delete}


def _try(act: Callable[[], object], alias: str) -> str:
    """Empty when it worked; the rows that it wrote are gone either way."""
    connection = connections[alias]
    try:
        with atomic(using=alias):
            act()
            if connection.vendor == "postgresql":
                connection.check_constraints()
            raise _RollBack  # noqa: TRY301 – leaving the block by it is what rolls back
    except _RollBack:
        return ""
    except DatabaseError as error:
        return database_text(error)
    except (CannotMake, ValueError, TypeError, OverflowError, LookupError) as error:
        # Values of a project's own field types; without a baseline it is reported as not exercised.
        return f"{type(error).__name__}: no value could be made"
