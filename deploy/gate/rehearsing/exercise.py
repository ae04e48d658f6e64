"""Does a release's code still work on this schema? Its models' statements, run and rolled back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import Error, connections, models
from django.db.migrations.state import ProjectState
from django.db.transaction import atomic

from deploy.reporting.findings import Finding

from ..errors import constraint_name, database_text, is_lost, sqlstate
from ..graph.plan import migrates
from ..run_findings import NOT_EXERCISED
from ..static.catalog import bare
from .probes import is_probe, is_said, probes
from .samples import CannotMake, Maker, Sample, manager, sample


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a statement fails. `certain`: no other values could have saved it. `state` is its SQLSTATE,
    `constraint` the name of the one that refused it.
    """

    text: str
    certain: bool = False
    state: str = ""
    constraint: str = ""


# model label → statement → why it fails
Failures = dict[str, dict[str, Failure]]


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


def exercise(
    found: Iterable[type[models.Model]],
    alias: str,
    samples: dict[str, Sample],
    *,
    closely: Collection[str] = (),
) -> Failures:
    """SELECT, INSERT, UPDATE and DELETE of every model, and an upsert on each of its uniquenesses, each in a
    savepoint that is rolled back.

    No signal is sent and no `save` of the project runs: the statements are those that Django's query
    compiler makes from the models. Deferred constraints are checked after each. The models whose tables are
    among `closely` are tried with odd values, more rows and by each field as well (see `probes`).
    """
    failures: Failures = {}
    maker = Maker(samples, alias)
    for model in found:
        statements = _statements(model, alias, maker)
        if bare(model._meta.db_table) in closely:
            statements.update(probes(model, alias, maker))
        for name, act in statements.items():
            insert = failures.get(model._meta.label, {}).get("INSERT")
            upsert = name.startswith(_UPSERT)
            problem = insert if upsert and insert else _try(act, alias)
            if problem:
                failures.setdefault(model._meta.label, {})[name] = problem
    return failures


def not_exercised(baseline: Failures) -> list[Finding]:
    """What failed on the unchanged schema: of these statements, nothing can be concluded later."""
    found = []
    for label, failures in baseline.items():
        statements = {name: failure for name, failure in failures.items() if not is_probe(name)}
        if statements:
            problem = next(iter(statements.values())).text
            found.append(
                NOT_EXERCISED(model=label, statement=", ".join(statements), problem=problem, place=label)
            )
    return found


def newly_broken(before: Failures, after: Failures) -> list[tuple[str, str, Failure]]:
    """(model, statement, failure) for what failed after and not before; an upsert that fails because every
    INSERT does is not named again, nor is a value or a field where the whole statement fails.
    """
    return [
        (label, statement, failure)
        for label, statements in after.items()
        for statement, failure in statements.items()
        if statement not in before.get(label, {})
        and not (statement.startswith(_UPSERT) and "INSERT" in statements)
        and not is_said(statement, statements)
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

    found: dict[str, Callable[[], object]] = {
        "SELECT": select, "INSERT": insert, "UPDATE": update, "DELETE": delete,
    }  # fmt: skip
    if connections[alias].features.supports_update_conflicts_with_target:
        for fields in unique_fields(model):
            name = f"{_UPSERT} ({', '.join(one.column for one in fields)})"
            found[name] = partial(maker.insert, model, conflict=fields)
    return found


_UPSERT = "UPSERT ON"


def is_upsert(statement: str) -> bool:
    """The statement is an INSERT … ON CONFLICT, which a model's code may or may not contain."""
    return statement.startswith(_UPSERT)


def unique_fields(model: type[models.Model]) -> list[tuple[Any, ...]]:
    """What `bulk_create(update_conflicts=True, unique_fields=…)` can name: no condition, not deferrable."""
    meta = model._meta
    found: list[tuple[Any, ...]] = [
        (one,) for one in meta.local_concrete_fields if one.unique and not one.generated
    ]
    found += [tuple(meta.get_field(name) for name in names) for names in meta.unique_together]
    found += [
        tuple(meta.get_field(name) for name in one.fields)
        for one in meta.constraints
        if isinstance(one, models.UniqueConstraint)
        and one.fields
        and one.condition is None
        and not one.deferrable
    ]
    return [fields for fields in dict.fromkeys(found) if all(one.model is model for one in fields)]


def _try(act: Callable[[], object], alias: str) -> Failure | None:
    """None when it worked; the rows that it wrote are gone either way."""
    connection = connections[alias]
    try:
        with warnings.catch_warnings(), atomic(using=alias):
            # A date without a zone is a sample's own; the warning would quote it.
            warnings.simplefilter("ignore", RuntimeWarning)
            act()
            if connection.vendor == "postgresql":
                connection.check_constraints()
            raise _RollBack  # noqa: TRY301 – leaving the block by it is what rolls back
    except _RollBack:
        return None
    except Error as error:
        if is_lost(error):
            raise
        text = database_text(error)
        return Failure(
            text,
            certain=_is_certain(sqlstate(error), text),
            state=sqlstate(error),
            constraint=constraint_name(error),
        )
    except (CannotMake, ValueError, TypeError, OverflowError, LookupError) as error:
        # Values of a project's own field types; without a baseline it is reported as not exercised.
        return Failure(f"{type(error).__name__}: no value could be made")


def _is_certain(state: str, text: str) -> bool:
    """The schema lacks what the code names, has it of another type, or demands what the code does not know.

    Class 42 of https://www.postgresql.org/docs/current/errcodes-appendix.html is about the statement itself.
    """
    signs = ("no such", "has no column", "not-null constraint", "NOT NULL constraint", "ON CONFLICT clause")
    return state.startswith("42") or any(sign in text for sign in signs)
