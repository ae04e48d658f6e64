"""Tables as a release's code needs them, and as a row of SQL effects leaves them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState
from django.db.models import CheckConstraint

from ..graph.plan import migrates
from ..graph.sparse import ModelKey, build, tables
from ..sql.effect import SERIAL, Effect, normal_type
from ..sql.expressions import same_text
from . import arbiters, dependents
from .arbiters import Arbiter
from .dependents import Check, Index


@dataclass(frozen=True, slots=True)
class Column:
    """`default`: the database fills it when an INSERT leaves it out. `sends_default`: the code's
    INSERT says DEFAULT.
    """

    name: str
    type: str
    null: bool
    default: bool = False
    generated: bool = False
    sends_default: bool = False
    field: str = ""
    references: str = ""
    target: str = ""
    collation: str = ""


@dataclass(frozen=True, slots=True)
class Tightening:
    """A constraint that appeared: what wrote freely before may now be refused.

    `detail` is the condition of a check or unique index, the referenced table of a foreign key.
    """

    kind: str
    name: str
    columns: tuple[str, ...]
    mentions: tuple[str, ...] = ()
    detail: str = ""
    nulls_equal: bool = False


@dataclass
class Table:
    """`unique` (of all rows) and `checks` (conditions) are what the code itself declares; `tightened` is
    what came on top. `rules` and `indexes` are what a change of a column has to look at.
    """

    name: str
    model: str = ""
    columns: dict[str, Column] = field(default_factory=dict)
    unique: set[frozenset[str]] = field(default_factory=set)
    checks: set[str] = field(default_factory=set)
    tightened: list[Tightening] = field(default_factory=list)
    arbiters: list[Arbiter] = field(default_factory=list)
    rules: list[Check] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    created: bool = False


class Catalog:
    """The tables of a database, as far as they are known."""

    def __init__(self, tables: Iterable[Table] = ()) -> None:
        self.tables: dict[str, Table] = {table.name: table for table in tables}
        self.unreadable: list[tuple[str, str]] = []
        self.domains: set[str] = set()
        self.lost: list[tuple[str, str]] = []

    @classmethod
    def of(
        cls, state: ProjectState, connection: BaseDatabaseWrapper, only: Collection[str] | None = None
    ) -> Catalog:
        """The tables that the models of `state` read and write through `connection` (`only` these, if given).

        A field whose column can't be told is listed in `unreadable`, as is a model that is left out for its
        constraints; one that can't be built is in `lost`.
        """
        catalog = cls()
        built = build(state, keys_of(state, only))
        catalog.lost = list(built.lost)
        editor = connection.SchemaEditorClass(connection, collect_sql=True, atomic=False)
        for model in built.models():
            meta = model._meta
            name = bare(meta.db_table)
            if meta.proxy or not meta.managed or meta.swapped or (only is not None and name not in only):
                continue
            if not migrates(connection.alias, meta.app_label, meta.model_name):
                continue
            if (name, connection.alias) not in built.made:
                unreadable: list[tuple[str, str]] = []
                table = None
                try:
                    table = _table(model, name, connection, editor, unreadable)
                except Exception as error:  # noqa: BLE001 – a project's own field class may fail; it is reported
                    unreadable.append((meta.label, f"{type(error).__name__}: {error}"[:200]))
                built.made[name, connection.alias] = table, unreadable
            table, unreadable = built.made[name, connection.alias]
            catalog.unreadable += unreadable
            if table is not None:
                catalog.tables[name] = _copied(table)
        return catalog

    def copy(self) -> Catalog:
        return Catalog(_copied(table) for table in self.tables.values())

    def is_new(self, table: str) -> bool:
        """The table was created by the effects seen so far: nobody else can be waiting for it."""
        return table in self.tables and self.tables[table].created

    def table_of_index(self, name: str) -> Table | None:
        """The table that has an index of this name, if one is known."""
        return next((t for t in self.tables.values() if any(i.name == name for i in t.indexes)), None)

    def apply(self, effect: Effect) -> None:
        """Change the tables as `effect` does; what it says of unknown tables and columns is ignored."""
        if effect.kind == "create_table":
            table = Table(effect.table, created=True)
            self.tables[effect.table] = table
            for part in effect.added:
                table.columns[part.column] = _column(part)
            return
        if effect.kind == "create_view" and (behind := self.tables.get(effect.new)) is not None:
            self.tables[effect.table] = _view(effect, behind)
            return
        if effect.kind == "create_domain" and effect.valid:
            self.domains.add(effect.name)
        if effect.kind == "drop_index":
            for one in self.tables.values():
                one.arbiters = arbiters.after(one.arbiters, effect)
                one.indexes = [each for each in one.indexes if each.name != effect.name]
            return
        table_or_none = self.tables.get(effect.table)
        if table_or_none is None:
            return
        table = table_or_none
        table.arbiters = arbiters.after(table.arbiters, effect)
        table.rules = dependents.rules_after(table.rules, effect)
        table.indexes = dependents.indexes_after(table.indexes, effect)
        column = table.columns.get(effect.column)
        if effect.kind == "drop_table":
            del self.tables[effect.table]
        elif effect.kind == "rename_table":
            del self.tables[effect.table]
            self.tables[effect.new] = replace(table, name=effect.new)
        elif effect.kind == "add_column":
            table.columns[effect.column] = _column(effect)
        elif effect.kind in {"add_unique", "add_check", "add_fk", "add_exclude", "add_primary_key"} or (
            effect.kind == "create_index" and effect.unique
        ):
            kind = effect.kind if effect.kind != "create_index" else "add_unique"
            if effect.using_index:  # the index was there before, and refused as much
                return
            detail = effect.new if kind != "add_exclude" else ""
            if kind == "add_fk" and column is not None:
                table.columns[column.name] = replace(column, target=effect.new)
            table.tightened.append(
                Tightening(kind, effect.name, effect.columns, effect.mentions, detail, effect.nulls_equal)
            )
        elif effect.kind == "drop_constraint":
            table.tightened = [one for one in table.tightened if one.name != effect.name]
            for one_column in list(table.columns.values()):
                if one_column.target and _names_foreign_key(effect, one_column.name):
                    table.columns[one_column.name] = replace(one_column, target="")
        elif column is not None:
            self._change_column(table, column, effect)

    @staticmethod
    def _change_column(table: Table, column: Column, effect: Effect) -> None:
        if effect.kind == "drop_column":
            del table.columns[column.name]
        elif effect.kind == "rename_column":
            del table.columns[column.name]
            table.columns[effect.new] = replace(column, name=effect.new)
        elif effect.kind == "set_type":
            collation = effect.collation or column.collation
            table.columns[column.name] = replace(column, type=effect.new, collation=collation)
        elif effect.kind in {"set_not_null", "drop_not_null", "add_not_null"}:
            table.columns[column.name] = replace(column, null=effect.kind == "drop_not_null")
        elif effect.kind in {"set_default", "drop_default"}:
            has_default = effect.kind == "set_default" and effect.default is not None
            table.columns[column.name] = replace(column, default=has_default)


def _view(effect: Effect, behind: Table) -> Table:
    """What statements meet that were written for a table and reach a view of one."""
    pairs = [part.split("=") for part in effect.columns if part != "*"]
    columns = dict(behind.columns) if "*" in effect.columns else {}
    for name, column in pairs:
        if column in behind.columns:
            columns[name] = replace(behind.columns[column], name=name)
    return replace(behind, name=effect.table, columns=columns, created=False)


def _names_foreign_key(effect: Effect, column: str) -> bool:
    """DROP CONSTRAINT of a column's foreign key, by PostgreSQL's name, Django's, or `offline`'s."""
    own = f"{effect.table}_{column}_"
    return effect.name in {f"{own}fkey", f"{own}foreign_key"[:63]} or bool(
        re.fullmatch(re.escape(own) + "[0-9a-f]{8}_fk.*", effect.name)
    )


def _copied(table: Table) -> Table:
    return replace(
        table,
        columns=dict(table.columns),
        unique=set(table.unique),
        checks=set(table.checks),
        tightened=list(table.tightened),
        arbiters=list(table.arbiters),
        rules=list(table.rules),
        indexes=list(table.indexes),
    )


def keys_of(state: ProjectState, only: Collection[str] | None) -> list[ModelKey]:
    """The models of `state` that have one of these tables (all of them, without)."""
    return [
        key
        for key, model in state.models.items()
        if only is None or any(bare(name) in only for name in tables(model))
    ]


def bare(db_table: str) -> str:
    """A table's name without the schema that people smuggle into `db_table` by quotes."""
    return re.split(r'"\."', db_table)[-1].strip('"')


def _column(effect: Effect) -> Column:
    return Column(
        name=effect.column,
        type=effect.new,
        null=not effect.not_null,
        default=effect.default is not None or effect.identity or bool(effect.generated),
        generated=bool(effect.generated),
    )


def _table(
    model: type, name: str, connection: BaseDatabaseWrapper, editor: Any, unreadable: list[tuple[str, str]]
) -> Table:
    meta = model._meta  # type: ignore[attr-defined]  # a model class
    table = Table(name, meta.label)
    for one in meta.local_concrete_fields:
        try:
            kind = one.db_parameters(connection=connection)["type"]
            suffix = one.db_type_suffix(connection=connection) or ""
            condition = one.db_check(connection)
        except Exception as error:  # noqa: BLE001 – a project's own field class may fail; it is reported
            unreadable.append((f"{meta.label}.{one.name}", f"{type(error).__name__}: {error}"[:200]))
            kind, suffix, condition = "", "", None  # a type that fits any other
        if kind is None:
            continue
        kind = normal_type(kind)
        sends_default = one.has_db_default()
        target = one.remote_field.model if one.remote_field and getattr(one, "db_constraint", False) else None
        table.columns[one.column] = Column(
            name=one.column,
            type=SERIAL.get(kind, kind),
            null=one.null,
            default=bool(suffix) or sends_default or one.generated,
            generated=one.generated,
            sends_default=sends_default or bool(suffix),
            field=one.name,
            references=target._meta.label if target is not None else "",
            target=bare(target._meta.db_table) if target is not None else "",
            collation=getattr(one, "db_collation", None) or "",
        )
        if one.unique:
            table.unique.add(frozenset({one.column}))
        if condition:
            table.checks.add(same_text(condition))
    for names in meta.unique_together:
        table.unique.add(frozenset(meta.get_field(part).column for part in names))
    for constraint in meta.constraints:
        if isinstance(constraint, CheckConstraint):
            sql = constraint._get_check_sql(model, editor)  # type: ignore[attr-defined]  # not in the stubs
            table.checks.add(same_text(sql))
        whole = not getattr(constraint, "condition", None)
        if whole and (fields := getattr(constraint, "fields", ())):
            table.unique.add(frozenset(meta.get_field(part).column for part in fields))
    table.arbiters = arbiters.declared(model, name, editor)
    table.rules = dependents.declared_rules(model, connection, editor)
    table.indexes = dependents.declared_indexes(model, editor)
    return table
