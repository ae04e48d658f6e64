"""Rows to try a model's statements with: copied from real ones, or made to satisfy the constraints."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.db import DatabaseError, models
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery
from django.db.transaction import atomic

_MAX_DEPTH = 6
_MOST_OTHERS = 3
_serial = count(1)


class CannotMake(Exception):  # noqa: N818 – it states a fact about a model, not a fault
    """A row of this model can't be made (a cycle of required references, an exotic field)."""


@dataclass
class Sample:
    """What is known about a model before the migrations: a real row's values, by field name, or none, and
    those of some `others`.

    `taught` is False when not even the unchanged schema took an insert: nothing can be concluded from it.
    """

    model: type[models.Model]
    values: dict[str, Any] = field(default_factory=dict)
    real: bool = False
    others: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def manager(model: type[models.Model], alias: str) -> models.QuerySet[Any]:
    """All rows, whatever the project's default manager hides."""
    return models.QuerySet(model, using=alias)


def sample(model: type[models.Model], alias: str) -> Sample:
    """The last real row of the model, if there is one, a few before it and the first ones."""
    found = Sample(model)
    try:
        with atomic(using=alias):
            rows = manager(model, alias).values(*(f.attname for f in model._meta.concrete_fields))
            last = list(rows.order_by("-pk")[:_MOST_OTHERS])
            first = list(rows.order_by("pk")[:_MOST_OTHERS]) if len(last) == _MOST_OTHERS else []
    except DatabaseError:
        return found
    if last:
        found.values, found.real = dict(last[0]), True
        found.others = [dict(row) for row in last[1:] + [row for row in first if row not in last]]
    return found


class Maker:
    """Makes rows of one set of models (a release's) from their samples."""

    def __init__(self, samples: dict[str, Sample], alias: str) -> None:
        self.samples = samples
        self.alias = alias

    def insert(
        self,
        model: type[models.Model],
        depth: int = 0,
        *,
        conflict: Sequence[models.Field[Any, Any]] = (),
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """Insert a row as the release's code would and return its primary key.

        `given` values, by attribute name, stand instead of those that would be made. `conflict` makes it an
        upsert on the uniqueness of these fields (ON CONFLICT (…) DO UPDATE).

        Raises:
            DatabaseError: the database refused it.
            CannotMake: no values are known that could satisfy the model.
        """
        if depth > _MAX_DEPTH:
            raise CannotMake(f"references of {model._meta.label} go round in a circle")
        values = {**self._values(model, depth), **(given or {})}
        row = model(**values)
        fields = [f for f in model._meta.local_concrete_fields if not f.generated]
        auto = model._meta.auto_field
        if auto is not None and getattr(row, auto.attname) is None:
            fields.remove(auto)
        returned = list(model._meta.db_returning_fields) or [model._meta.pk]
        query = InsertQuery(model, **_on_conflict(fields, conflict)) if conflict else InsertQuery(model)
        query.insert_values(fields, [row])
        compiler = query.get_compiler(using=self.alias)
        rows = compiler.execute_sql(returning_fields=returned)
        key = model._meta.pk.attname
        if rows:
            for one, value in zip(returned, rows[0], strict=False):
                setattr(row, one.attname, value)
        return getattr(row, key)

    def _values(self, model: type[models.Model], depth: int) -> dict[str, Any]:
        known = self.samples.get(model._meta.label)
        values: dict[str, Any] = dict(known.values) if known and known.real else {}
        grouped = _grouped(model)
        for one in model._meta.local_concrete_fields:
            if one.generated:
                values.pop(one.attname, None)
            elif one.primary_key and not one.remote_field:
                values[one.attname] = None if model._meta.auto_field is one else vary(one)
            elif one.remote_field:
                values[one.attname] = self._reference(one, values.get(one.attname), grouped, depth)
            elif one.unique or one.name in grouped:
                values[one.attname] = vary(one)
            elif one.attname not in values:
                values[one.attname] = plain(one)
        inherited = {f.attname for f in model._meta.concrete_fields} - {
            f.attname for f in model._meta.local_concrete_fields
        }
        return {name: value for name, value in values.items() if name not in inherited}

    def _reference(self, one: Any, copied: Any, grouped: set[str], depth: int) -> Any:
        target = one.remote_field.model
        own = one.unique or one.name in grouped
        if not own:
            if copied is not None or one.null:
                return copied
            attname = one.target_field.attname
            there = manager(target, self.alias).values_list(attname, flat=True).first()
            if there is not None:
                return there
        if own and one.null:
            return None
        key = self.insert(target, depth + 1)
        if one.target_field.primary_key:
            return key
        return manager(target, self.alias).values_list(one.target_field.attname, flat=True).get(pk=key)


def _on_conflict(fields: Sequence[Any], conflict: Sequence[Any]) -> dict[str, Any]:
    """As `bulk_create` asks for it: one ordinary field is written when the row is there."""
    plain_ones = [one for one in fields if not one.primary_key and one not in conflict]
    return {
        "on_conflict": OnConflict.UPDATE,
        "update_fields": (plain_ones or list(conflict))[:1],
        "unique_fields": list(conflict),
    }


def _grouped(model: type[models.Model]) -> set[str]:
    """One field of every uniqueness over several fields: varying it makes the row new. Plain fields first."""
    meta = model._meta
    groups = [tuple(names) for names in meta.unique_together]
    groups += [
        tuple(c.fields) for c in meta.constraints if isinstance(c, models.UniqueConstraint) and c.fields
    ]
    chosen: set[str] = set()
    for names in groups:
        fields = sorted((meta.get_field(name) for name in names), key=_hard_to_vary)
        chosen.add(str(fields[0].name))
    return chosen


def _hard_to_vary(one: Any) -> int:
    if one.remote_field:
        return 2
    return 1 if one.choices or isinstance(one, models.BooleanField) else 0


def vary(one: Any) -> Any:
    """A value that no row has yet; of numbers, less than half of what fits, for columns computed from it."""
    number = next(_serial)
    base: Any = getattr(one, "base_field", None)
    if isinstance(one, models.UUIDField):
        return uuid.uuid4()
    if isinstance(one, models.DateTimeField):
        return datetime(1971, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    if isinstance(one, models.DateField):
        return date(1971, 1, 1) + timedelta(days=number)
    if isinstance(one, models.SmallIntegerField | models.PositiveSmallIntegerField):
        return 16_000 - number
    if isinstance(one, models.BigIntegerField):
        return 4_000_000_000_000_000_000 - number
    if isinstance(one, models.IntegerField):
        return 1_000_000_000 - number
    if isinstance(one, models.DecimalField):
        return Decimal(number).scaleb(-one.decimal_places)
    if isinstance(one, models.FloatField):
        return 1e9 + number
    if isinstance(one, models.GenericIPAddressField):
        return f"198.51.{number // 250 % 250}.{number % 250 + 1}"
    if isinstance(one, models.CharField | models.TextField | models.FileField):
        text = f"{uuid.uuid4().hex}"
        return text[: one.max_length] if one.max_length else text
    if isinstance(one, models.BinaryField):
        return uuid.uuid4().bytes
    if base is not None:
        return [vary(base)]
    return plain(one)


def plain(one: Any) -> Any:
    """A value that an ordinary row could have."""
    if one.has_default():
        return one.get_default()
    if one.has_db_default():
        return one.get_default()  # DatabaseDefault: the INSERT says DEFAULT, as the release's code does
    if one.null:
        return None
    if one.choices:
        return next(iter(_flat(one.choices)), "")
    for kinds, value in _PLAIN:
        if isinstance(one, kinds):
            return value() if callable(value) else value
    if isinstance(one, models.CharField | models.TextField | models.FileField):
        return "x"
    if type(one).__name__ in {"ArrayField"}:
        return []
    if type(one).__name__ == "HStoreField":
        return {}
    raise CannotMake(f"no value is known for {one.model._meta.label}.{one.name} ({type(one).__name__})")


_PLAIN: tuple[tuple[Any, Any], ...] = (
    (models.BooleanField, False),
    (models.DateTimeField, lambda: datetime.now(UTC)),
    (models.DateField, lambda: datetime.now(UTC).date()),
    (models.TimeField, time(12, 0)),
    (models.DurationField, timedelta(seconds=1)),
    (models.DecimalField, Decimal(0)),
    (models.FloatField, 0.0),
    (models.IntegerField, 1),
    (models.UUIDField, uuid.uuid4),
    (models.JSONField, dict),
    (models.GenericIPAddressField, "198.51.100.1"),
    (models.BinaryField, b"x"),
)


def _flat(choices: Any) -> Iterator[Any]:
    for value, label in choices:
        if isinstance(label, list | tuple):
            yield from _flat(label)
        else:
            yield value
