"""Definitions of columns, constraints and indexes, as effects on their table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .effect import Effect
from .expressions import columns_in, foreign_functions, is_a, is_serial, is_volatile, spelled, type_of


def column(table: str, node: Any, *, existing: bool = True) -> list[Effect]:
    """A column definition and the constraints that it carries; `existing`: the table is there already."""
    parts = {one.contype.name: one for one in node.constraints or ()}
    default = parts.get("CONSTR_DEFAULT")
    generated = parts.get("CONSTR_GENERATED")
    serial = is_serial(node.typeName)
    value = default.raw_expr if default is not None and not is_null(default.raw_expr) else None
    added = Effect(
        "add_column", table, node.colname,
        new=type_of(node.typeName) if node.typeName else "",
        not_null=serial or "CONSTR_NOTNULL" in parts or "CONSTR_PRIMARY" in parts
        or "CONSTR_IDENTITY" in parts,
        default=spelled(value) if value is not None else None,
        volatile=is_volatile(value) if value is not None else False,
        calls=foreign_functions(value) if value is not None else (),
        generated=_stored_or_virtual(generated),
        identity=serial or "CONSTR_IDENTITY" in parts,
        verb="ADD COLUMN",
    )  # fmt: skip
    found = [added]
    for part in node.constraints or ():
        if part.contype.name in _KINDS:
            found += constraint(table, part, of=node.colname)
    if existing and added.default is None and not added.identity:
        # A new column without a default is NULL everywhere: PostgreSQL skips the scan for its foreign key,
        # though not the one for its check (transformAlterTableStmt in src/backend/parser/parse_utilcmd.c).
        found = [_not_validated(one) for one in found]
    return found


def _stored_or_virtual(generated: Any) -> str:
    if generated is None:
        return ""
    return "virtual" if generated.generated_kind == "v" else "stored"


def _not_validated(effect: Effect) -> Effect:
    return replace(effect, valid=False) if effect.kind == "add_fk" else effect


# Those that do not merely describe the column: names of pglast.enums.ConstrType.
_KINDS = {
    "CONSTR_PRIMARY": "add_primary_key",
    "CONSTR_UNIQUE": "add_unique",
    "CONSTR_CHECK": "add_check",
    "CONSTR_EXCLUSION": "add_exclude",
    "CONSTR_FOREIGN": "add_fk",
}


def constraint(table: str, node: Any, *, of: str = "") -> list[Effect]:
    """A constraint of a table, or of its column `of`."""
    name = node.conname or ""
    names = tuple(str(key.sval) for key in node.keys or ()) or ((of,) if of else ())
    kind = _KINDS.get(node.contype.name, "")
    if kind in {"add_primary_key", "add_unique"}:
        using = node.indexname or ""
        return [
            Effect(
                kind, table, of, name, new=using, columns=() if using else names, using_index=bool(using),
                deferrable=bool(node.deferrable), nulls_equal=bool(node.nulls_not_distinct),
                verb="UNIQUE" if kind == "add_unique" else "PRIMARY KEY",
            )
        ]  # fmt: skip
    if kind == "add_fk":
        here = tuple(str(key.sval) for key in node.fk_attrs or ()) or names
        valid = not node.skip_validation and node.is_enforced is not False
        first = here[0] if here else ""
        return [Effect(kind, table, first, name, new=node.pktable.relname, columns=here, valid=valid)]
    if kind == "add_exclude":
        elements = [pair[0] for pair in node.exclusions or ()]
        plain = tuple(str(one.name) for one in elements if one.name)
        inside = tuple(dict.fromkeys(c for one in elements for c in columns_in(one.expr)))
        return [Effect(kind, table, name=name, columns=plain, mentions=inside)]
    if kind == "add_check":
        valid = not node.skip_validation and node.is_enforced is not False
        if node.is_enforced is False:
            return [Effect("other", table, name=name, verb="CHECK NOT ENFORCED")]
        text = spelled(node.raw_expr)
        return [Effect(kind, table, of, name, new=text, columns=columns_in(node.raw_expr), valid=valid)]
    if node.contype.name == "CONSTR_NOTNULL":
        first = names[0] if names else ""
        return [Effect("add_not_null", table, first, name, valid=not node.skip_validation)]
    return [Effect("other", table, name=name)]


def index(node: Any) -> Effect:
    """CREATE INDEX."""
    table = node.relation.relname
    plain = tuple(str(one.name) for one in node.indexParams if one.name)
    expressions = [one for one in node.indexParams if one.expr is not None]
    condition = f"where {spelled(node.whereClause)}" if node.whereClause is not None else ""
    elements = f"({', '.join(spelled(one) for one in node.indexParams)})" if expressions else ""
    return Effect(
        "create_index", table,
        name=node.idxname or "",
        new=f"{elements} {condition}".strip(),
        columns=plain,
        mentions=tuple(dict.fromkeys(c for one in expressions for c in columns_in(one.expr))),
        predicate=columns_in(node.whereClause) if node.whereClause is not None else (),
        unique=bool(node.unique),
        only_parent=not node.relation.inh,
        nulls_equal=bool(node.nulls_not_distinct),
        concurrently=bool(node.concurrent),
        verb="CREATE INDEX",
    )  # fmt: skip


def table(node: Any) -> list[Effect]:
    """CREATE TABLE: the columns are in `added`; foreign keys of a new table have no row to look at."""
    name = node.relation.relname
    added: list[Effect] = []
    for part in node.tableElts or ():
        if is_a(part, "ColumnDef"):
            added += column(name, part, existing=False)[:1]
    keyed = {
        str(key.sval)
        for part in node.tableElts or ()
        if is_a(part, "Constraint") and part.contype.name == "CONSTR_PRIMARY"
        for key in part.keys or ()
    }
    columns = tuple(replace(one, not_null=True) if one.column in keyed else one for one in added)
    return [Effect("create_table", name, added=columns, verb="CREATE TABLE")]


def is_null(node: Any) -> bool:
    """The expression is NULL, cast or not."""
    while is_a(node, "TypeCast"):
        node = node.arg
    return is_a(node, "A_Const") and bool(node.isnull)
