"""Every statement that a release's models make, with values that those models allow and that rows have."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models, transaction
from django.db.models.fields.generated import GeneratedField

UPDATED = 5  # rows that are saved as they are, first by key
_COUNT = itertools.count(1)

Failures = dict[str, str]  # "INSERT note=None Order" → the database's answer
Statement = Callable[[], object]


@dataclass
class Known:
    """What the live database held before the release.

    Attributes:
        values: model → attribute → value of its first row.
        distinct: model → attributes that hold no value twice: whoever writes them writes new values.
        failures: what the deployed code could not do even then (write to a view).
    """

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    distinct: dict[str, set[str]] = field(default_factory=dict)
    failures: Failures = field(default_factory=dict)


def known(apps: Any, alias: str) -> Known:
    """Look at the live database, before any release."""
    found = Known()
    for model in _models(apps):
        rows = list(model._base_manager.using(alias).order_by("pk"))
        found.values[model.__name__] = {one.attname: getattr(rows[0], one.attname) for one in _fields(model)}
        found.distinct[model.__name__] = {
            one.attname
            for one in _fields(model)
            if one.remote_field is None and len({str(getattr(row, one.attname)) for row in rows}) == len(rows)
        }
    found.failures = run(apps, alias, found)
    return found


def run(apps: Any, alias: str, before: Known, *, plain: bool = False) -> Failures:
    """What these models can't do on the database now. Nothing that is written stays.

    With `plain` only a SELECT and an INSERT of each.
    """
    failures: Failures = {}
    for model in _models(apps):
        tried = _plain(model, alias, before) if plain else _statements(model, alias, before)
        for name, statement in tried:
            if problem := _problem(statement, alias):
                failures[f"{name} {model.__name__}"] = problem
        if not plain:
            for name, together in _together(model):
                each = {one: _insert(model, alias, before, {one: value}) for one, value in together.items()}
                if _problem(_insert(model, alias, before, together), alias):
                    for one, statement in each.items():
                        if problem := _problem(statement, alias):
                            failures[f"INSERT {one}={name} {model.__name__}"] = problem
    return failures


def _models(apps: Any) -> list[Any]:
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.app_label == "store" and not model._meta.proxy]


class _Undo(Exception):  # noqa: N818 – not an error
    pass


def _problem(statement: Statement, alias: str) -> str:
    try:
        with transaction.atomic(using=alias):
            statement()
            with connections[alias].cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            raise _Undo  # noqa: TRY301 – the only way out of atomic() that writes nothing
    except _Undo:
        return ""
    except Exception as error:  # noqa: BLE001 – the database's answer, or a field that can't read it
        return " ".join(str(error).split())[:160] or type(error).__name__


def _plain(model: Any, alias: str, before: Known) -> Iterator[tuple[str, Statement]]:
    yield "SELECT", lambda: list(model._base_manager.using(alias).order_by("pk")[:3])
    if model.__name__ in before.values:
        yield "INSERT", _insert(model, alias, before, {})


def _statements(model: Any, alias: str, before: Known) -> Iterator[tuple[str, Statement]]:
    rows = model._base_manager.using(alias).order_by("pk")
    yield from _plain(model, alias, before)
    yield "UPDATE", lambda: [row.save(using=alias) for row in rows[:UPDATED]]
    yield "DELETE", lambda: _insert(model, alias, before, {})().delete(using=alias)
    for one in model._meta.fields:
        for value, _label in one.choices or ():
            yield f"INSERT {one.name}={value}", _insert(model, alias, before, {one.attname: value})
    for many in model._meta.many_to_many:
        if many.remote_field.through._meta.auto_created:
            others = many.remote_field.model._base_manager.using(alias).order_by("-pk")
            yield f"ADD {many.name}", lambda: getattr(rows[0], many.name).set(others[:2])  # noqa: B023 – run at once


def _together(model: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Values at the edge of what the model allows, for all of its fields that have such a value."""
    fields = [one for one in _fields(model) if not one.primary_key]
    texts = [one for one in fields if isinstance(one, models.CharField) and not one.choices]
    yield "None", {one.attname: None for one in fields if one.null}
    yield (
        "default",
        {
            one.attname: one.get_default()
            for one in fields
            if one.has_default() or one.db_default is not models.NOT_PROVIDED
        },
    )
    yield (
        "long",
        {
            one.attname: f"{next(_COUNT) % 10**one.max_length:0>{one.max_length}}"
            for one in texts
            if one.max_length
        },
    )
    yield "empty", {one.attname: "" for one in fields if one.blank and one.empty_strings_allowed}


def _fields(model: Any) -> list[Any]:
    return [
        one
        for one in model._meta.concrete_fields
        if not isinstance(one, GeneratedField) and not getattr(one.remote_field, "parent_link", False)
    ]


def _insert(model: Any, alias: str, before: Known, changes: dict[str, Any]) -> Callable[[], Any]:
    def insert() -> Any:
        had = before.values[model.__name__]
        distinct = before.distinct[model.__name__]
        values = {
            one.attname: _fresh(one, had[one.attname]) if one.attname in distinct else had[one.attname]
            for one in _fields(model)
            if not isinstance(one, models.AutoField) and one.attname in had
        }
        made = model(**{**values, **changes})
        made.save(using=alias, force_insert=True)
        return made

    return insert


def _fresh(one: Any, value: Any) -> Any:
    number = next(_COUNT)
    if isinstance(value, str):
        return f"z{number}"[: getattr(one, "max_length", None) or 20]
    if isinstance(value, uuid.UUID):
        return uuid.uuid4()
    if isinstance(value, int) and not isinstance(value, bool):
        return 10_000 + number % 20_000
    if isinstance(value, datetime.date):
        return value + datetime.timedelta(days=number % 100)
    if hasattr(value, "lower") and hasattr(value, "upper"):
        shift = datetime.timedelta(days=9000 + number)
        return type(value)(value.lower + shift, value.upper + shift, bounds=value.bounds)
    return value
