"""What else a release's code may do to a table that migrations change: odd values, every field, several rows.

Whether it may is asked of the schema as it was: what that one refused is no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connections, models

from .samples import Maker, manager

# How the names of these statements begin.
VALUE, BY, BULK, TWICE, ROW = "INSERT (", "SELECT BY ", "BULK UPDATE", "INSERT TWICE", "UPDATE ("
_MOST_CHOICES = 12
_LONG_TEXT = 5000


def is_probe(statement: str) -> bool:
    """It tries a value or a way of asking; without a failure before, nothing is known to be wrong."""
    return statement.startswith((VALUE, BY, BULK, TWICE, ROW))


def is_extreme(statement: str) -> bool:
    """It tries the end of a type, which a limit above all real values refuses as well."""
    kind = statement.partition(": ")[2].rstrip(")")
    return kind in {"smallest", "largest", "early", "late", "large"} or kind.endswith(" characters")


def is_said(statement: str, failed: Any) -> bool:
    """What fails as a whole (`failed` statements) is not named again for each value or field."""
    if statement.startswith((VALUE, TWICE)):
        return "INSERT" in failed
    if statement.startswith((BULK, ROW)):
        return "UPDATE" in failed
    return statement.startswith(BY) and "SELECT" in failed


def probes(model: type[models.Model], alias: str, maker: Maker) -> dict[str, Callable[[], object]]:
    """Statements by name, to be run each in a savepoint of its own."""
    found: dict[str, Callable[[], object]] = {}
    rows = manager(model, alias)
    known = maker.samples.get(model._meta.label)
    values = known.values if known is not None and known.real else {}
    for one in model._meta.local_concrete_fields:
        if one.primary_key or one.generated:
            continue
        if values.get(one.attname) is not None:
            found[f"{BY}{one.name}"] = partial(_select_by, rows, one, values[one.attname])
        if not one.remote_field:
            for kind, value in odd_values(one, alias):
                found[f"{VALUE}{one.name}: {kind})"] = partial(
                    maker.insert, model, given={one.attname: value}
                )
        elif one.null:
            found[f"{VALUE}{one.name}: NULL)"] = partial(maker.insert, model, given={one.attname: None})
    if values:
        found[BULK] = partial(_bulk_update, model, rows, values)
        for number, row in enumerate(known.others if known is not None else ()):
            found[f"{ROW}as row {number + 2} has it)"] = partial(_update, model, rows, row)
    else:
        found[TWICE] = lambda: (maker.insert(model), maker.insert(model))
    return found


def odd_values(one: Any, alias: str) -> Iterator[tuple[str, Any]]:
    """(kind, value) at the borders of what a field's code lets through."""
    if one.null:
        yield "NULL", None
    if one.choices:
        flat = list(one.flatchoices)[:_MOST_CHOICES]
        yield from ((f"choice {number}", value) for number, (value, _) in enumerate(flat, 1))
        return
    if isinstance(one, models.GenericIPAddressField | models.FilePathField):
        return
    if isinstance(one, models.CharField | models.TextField | models.FileField):
        length = one.max_length or _LONG_TEXT
        yield f"{length} characters", "x" * length
        yield "empty", ""
    elif isinstance(one, models.IntegerField):
        low, high = connections[alias].ops.integer_field_range(one.get_internal_type())
        yield from (
            (kind, value) for kind, value in (("smallest", low), ("largest", high)) if value is not None
        )
        if low is None or low < 0:
            yield "negative", -1
        yield "zero", 0
    elif isinstance(one, models.DecimalField) and one.max_digits and one.decimal_places is not None:
        largest = (Decimal(10) ** one.max_digits - 1).scaleb(-one.decimal_places)
        yield from (("largest", largest), ("smallest", -largest), ("zero", Decimal(0)))
    elif isinstance(one, models.FloatField):
        yield from (("large", 1e300), ("negative", -1.5), ("zero", 0.0))
    elif isinstance(one, models.BooleanField):
        yield from (("true", True), ("false", False))
    elif isinstance(one, models.DateTimeField):
        yield from (("early", datetime(1, 1, 2, tzinfo=UTC)), ("late", datetime(9999, 12, 30, tzinfo=UTC)))
    elif isinstance(one, models.DateField):
        yield from (("early", date(1, 1, 2)), ("late", date(9999, 12, 30)))
    elif isinstance(one, models.JSONField):
        yield from (("an object", {}), ("a list", []), ("a text", "x"))


def _select_by(rows: models.QuerySet[Any], one: Any, value: Any) -> object:
    """Filtered, ordered and without duplicates: what needs operators of the column's type.

    Planned, not run: that is when they are looked for, and a scan of a large table for each field is not.
    """
    return rows.filter(**{one.attname: value}).order_by(one.attname).values(one.attname).distinct().explain()


def _update(model: type[models.Model], rows: models.QuerySet[Any], values: dict[str, Any]) -> object:
    changed = {
        one.name: values[one.attname]
        for one in model._meta.local_concrete_fields
        if not one.primary_key and not one.generated
    }
    return rows.filter(pk=values[model._meta.pk.attname]).update(**changed) if changed else None


def _bulk_update(model: type[models.Model], rows: models.QuerySet[Any], values: dict[str, Any]) -> object:
    fields = [f for f in model._meta.local_concrete_fields if not f.primary_key and not f.generated]
    one = model(**{name: value for name, value in values.items() if not _is_generated(model, name)})
    return rows.bulk_update([one], [f.name for f in fields]) if fields else None


def _is_generated(model: type[models.Model], attname: str) -> bool:
    return any(f.attname == attname and f.generated for f in model._meta.concrete_fields)
