"""Checks and indexes of a table: what PostgreSQL looks at again when a column changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import CheckConstraint, UniqueConstraint

from ..sql.effect import Effect
from ..sql.expressions import columns_of, same_text


@dataclass(frozen=True, slots=True)
class Check:
    """A check that is there: its condition as SQL, the columns in it, and whether old rows are known to
    satisfy it.
    """

    name: str
    condition: str
    columns: tuple[str, ...]
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is there. `inside`: the columns in its expressions and condition."""

    name: str
    columns: tuple[str, ...]
    inside: tuple[str, ...] = ()


def declared_rules(model: Any, connection: Any, editor: Any) -> list[Check]:
    """The checks that the model's fields and constraints bring."""
    found = []
    for one in model._meta.local_concrete_fields:
        if condition := one.db_check(connection):
            found.append(_check("", condition))
    for constraint in model._meta.constraints:
        if isinstance(constraint, CheckConstraint):
            sql = constraint._get_check_sql(model, editor)  # type: ignore[attr-defined]  # not in the stubs
            found.append(_check(constraint.name, sql))
    return found


def _check(name: str, condition: str) -> Check:
    return Check(name, same_text(condition), columns_of(condition))


def declared_indexes(model: Any, editor: Any) -> list[Index]:
    """The indexes that the model brings, with names where it gives them."""
    meta = model._meta
    found = [Index("", (one.column,)) for one in meta.local_concrete_fields if one.unique or one.db_index]
    found += [Index("", tuple(meta.get_field(n).column for n in names)) for names in meta.unique_together]
    for one in (*meta.indexes, *meta.constraints):
        plain = getattr(one, "fields", ())
        complex_ = getattr(one, "expressions", ()) or getattr(one, "condition", None)
        if plain and not complex_ and not isinstance(one, CheckConstraint):
            columns = tuple(meta.get_field(name.lstrip("-")).column for name in plain)
            found.append(Index(one.name, columns))
        elif complex_ and not isinstance(one, CheckConstraint):
            found += _from_sql(one, model, editor)
    return found


def _from_sql(one: Any, model: Any, editor: Any) -> list[Index]:
    from ..sql.effects import effects

    unique = isinstance(one, UniqueConstraint)
    sql = one.create_sql(model, editor)
    made = [made_by(effect) for effect in effects(str(sql))] if sql else []
    return [index for index in made if index is not None] or ([Index(one.name, ())] if unique else [])


def made_by(effect: Effect) -> Index | None:
    """The index that a statement brings, if any."""
    if effect.kind == "create_index" or (
        effect.kind in {"add_unique", "add_primary_key", "add_exclude"} and not effect.using_index
    ):
        return Index(effect.name, effect.columns, (*effect.mentions, *effect.predicate))
    return None


def rules_after(rules: Iterable[Check], effect: Effect) -> list[Check]:
    """The checks of a table after a statement on it."""
    there = list(rules)
    if effect.kind == "add_check":
        there.append(Check(effect.name, effect.new, effect.columns, effect.valid))
    elif effect.kind == "add_not_null" and not effect.valid:
        there.append(Check(effect.name, _is_not_null(effect.column), (effect.column,), valid=False))
    elif effect.kind == "validate":
        return [replace(one, valid=True) if one.name == effect.name else one for one in there]
    elif effect.kind == "drop_constraint":
        return [one for one in there if one.name != effect.name or not effect.name]
    elif effect.kind == "drop_column":
        return [one for one in there if effect.column not in one.columns]
    elif effect.kind == "rename_column":
        return [_renamed(one, effect) for one in there]
    return there


def _renamed(one: Check, effect: Effect) -> Check:
    if effect.column not in one.columns:
        return one
    condition = _is_not_null(effect.new) if one.condition == _is_not_null(effect.column) else ""
    columns = tuple(effect.new if name == effect.column else name for name in one.columns)
    return replace(one, condition=condition, columns=columns)


def indexes_after(indexes: Iterable[Index], effect: Effect) -> list[Index]:
    """The indexes of a table after a statement on it."""
    there = list(indexes)
    if (made := made_by(effect)) is not None:
        there.append(made)
    elif effect.kind == "drop_constraint":
        return [one for one in there if one.name != effect.name or not effect.name]
    elif effect.kind == "drop_column":
        return [one for one in there if effect.column not in (*one.columns, *one.inside)]
    elif effect.kind == "rename_column":
        new = {effect.column: effect.new}
        return [
            replace(
                one,
                columns=tuple(new.get(name, name) for name in one.columns),
                inside=tuple(new.get(name, name) for name in one.inside),
            )
            for one in there
        ]
    return there


def proves_not_null(rules: Iterable[Check], column: str) -> bool:
    """A valid check says that the column is not NULL, alone or with AND: SET NOT NULL then scans nothing
    (https://www.postgresql.org/docs/current/sql-altertable.html, SET NOT NULL; PostgreSQL 12 and newer).
    """
    wanted = _is_not_null(column)
    return any(one.valid and wanted in one.condition.split(" AND ") for one in rules)


def _is_not_null(column: str) -> str:
    return same_text(f'"{column}" IS NOT NULL')
