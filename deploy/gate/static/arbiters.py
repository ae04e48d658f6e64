"""What `INSERT … ON CONFLICT` can name: the uniqueness that a release's code may upsert on.

PostgreSQL refuses the statement when no unique index matches the columns that it names, or when the
constraint is deferrable (https://www.postgresql.org/docs/current/sql-insert.html, ON CONFLICT).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import UniqueConstraint

from ..sql.effect import Effect


@dataclass(frozen=True, slots=True)
class Arbiter:
    """A uniqueness by what it says. `names`: what the database may call it.

    `definition` holds the text of expressions and condition; it is empty for plain columns of all rows.
    """

    names: frozenset[str]
    columns: frozenset[str]
    definition: str = ""

    @property
    def text(self) -> str:
        """For a message: the columns, else the name."""
        return ", ".join(sorted(self.columns)) or ", ".join(sorted(self.names))

    def serves(self, needed: Arbiter) -> bool:
        """An ON CONFLICT made for `needed` finds this one: the same, or the same columns for all rows."""
        if self.columns != needed.columns:
            return False
        return self.definition == needed.definition or (
            not self.definition and needed.definition.startswith("where ")
        )


def declared(model: Any, table: str, editor: Any) -> list[Arbiter]:
    """What the model says is unique and not deferrable."""
    from ..sql.effects import effects

    meta = model._meta
    found: list[Arbiter] = []
    for one in meta.local_concrete_fields:
        if one.primary_key:
            found.append(Arbiter(frozenset({f"{table}_pkey"}), frozenset({one.column})))
        elif one.unique:
            found.append(Arbiter(_names(table, [one.column], editor), frozenset({one.column})))
    for names in meta.unique_together:
        columns = [meta.get_field(name).column for name in names]
        found.append(Arbiter(_names(table, columns, editor), frozenset(columns)))
    for constraint in meta.constraints:
        if not isinstance(constraint, UniqueConstraint) or constraint.deferrable:
            continue
        if constraint.fields and not constraint.condition:
            columns = [meta.get_field(name).column for name in constraint.fields]
            found.append(Arbiter(frozenset({constraint.name}), frozenset(columns)))
            continue
        # Spelled by the same reader as the database's side, so that equal ones are equal.
        for effect in effects(str(constraint.create_sql(model, editor) or "")):
            found += made_by(effect)
    return found


def made_by(effect: Effect) -> list[Arbiter]:
    """The uniqueness that a statement brings, if any."""
    unique = effect.kind in {"add_unique", "add_primary_key"} or (
        effect.kind == "create_index" and effect.unique
    )
    if not unique or effect.deferrable or effect.using_index:
        return []
    definition = effect.new if effect.kind == "create_index" else ""
    return [Arbiter(frozenset({effect.name} - {""}), frozenset(effect.columns), definition)]


def after(arbiters: Iterable[Arbiter], effect: Effect) -> list[Arbiter]:
    """The uniqueness of a table after a statement on it, or after DROP INDEX, which names no table."""
    there = list(arbiters)
    if effect.kind in {"drop_constraint", "drop_index"}:
        return [one for one in there if effect.name not in one.names]
    if effect.kind == "drop_column":
        return [one for one in there if effect.column not in one.columns]
    if effect.kind == "rename_column":
        renamed = {effect.column: effect.new}
        return [
            replace(one, columns=frozenset(renamed.get(name, name) for name in one.columns)) for one in there
        ]
    if effect.using_index:  # the constraint takes the index's place, and gives it its name
        kept = [replace(one, names=frozenset({effect.name})) for one in there if effect.new in one.names]
        others = [one for one in there if effect.new not in one.names]
        return others + ([] if effect.deferrable else kept)
    return there + made_by(effect)


def _names(table: str, columns: list[str], editor: Any) -> frozenset[str]:
    """PostgreSQL's own name, Django's, and the one that `offline` makes up where Django would look it up."""
    joined = "_".join((table, *columns))
    hashed = str(editor._create_index_name(table, columns, suffix="_uniq"))
    return frozenset({f"{joined}_key", f"{joined}_unique", hashed})
