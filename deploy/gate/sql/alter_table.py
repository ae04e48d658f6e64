"""What ALTER TABLE does, command by command
(https://www.postgresql.org/docs/current/sql-altertable.html).
"""

from __future__ import annotations

from typing import Any

from . import definitions
from .effect import Effect
from .expressions import columns_in, is_a, is_volatile, name_of, spelled, type_of

# They change what a release's statements may do, or what happens when they do it.
_OPAQUE = {
    "AT_EnableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_DisableTrig", "AT_EnableTrigAll",
    "AT_DisableTrigAll", "AT_EnableTrigUser", "AT_DisableTrigUser", "AT_EnableRule", "AT_EnableAlwaysRule",
    "AT_EnableReplicaRule", "AT_DisableRule", "AT_AddInherit", "AT_DropInherit", "AT_AddOf", "AT_DropOf",
    "AT_EnableRowSecurity", "AT_DisableRowSecurity", "AT_ForceRowSecurity", "AT_NoForceRowSecurity",
    "AT_ChangeOwner", "AT_SetIdentity", "AT_DropExpression",
}  # fmt: skip
_REWRITES = {
    "AT_SetLogged": "SET LOGGED", "AT_SetUnLogged": "SET UNLOGGED", "AT_SetTableSpace": "SET TABLESPACE",
    "AT_SetAccessMethod": "SET ACCESS METHOD",
}  # fmt: skip


def alter_table(node: Any) -> list[Effect]:
    """The effects of an ALTER TABLE (of a view, index or sequence in its clothes: those of the object)."""
    kind = node.objtype.name
    if kind not in {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"}:
        return [Effect("other", verb=f"ALTER {kind.removeprefix('OBJECT_')}")]
    table = node.relation.relname
    return [effect for command in node.cmds for effect in _command(table, command)]


def _command(table: str, node: Any) -> list[Effect]:
    kind = node.subtype.name
    if (reader := _COMMANDS.get(kind)) is not None:
        return list(reader(table, node))
    if kind in _REWRITES:
        return [Effect("rewrite", table, verb=f"ALTER TABLE … {_REWRITES[kind]}")]
    verb = f"ALTER TABLE {table} {_words(kind)}"
    return [Effect("opaque" if kind in _OPAQUE else "other", table, node.name or "", verb=verb)]


def _words(kind: str) -> str:
    """AT_EnableRowSecurity: ENABLE ROW SECURITY."""
    text = kind.removeprefix("AT_").replace("Trig", "Trigger")
    return "".join(f" {letter}" if letter.isupper() else letter for letter in text).strip().upper()


def _add_column(table: str, node: Any) -> list[Effect]:
    return definitions.column(table, node.def_)


def _drop_column(table: str, node: Any) -> list[Effect]:
    return [Effect("drop_column", table, node.name, cascade=_cascades(node), verb="DROP COLUMN")]


def _set_type(table: str, node: Any) -> list[Effect]:
    new = node.def_
    using = new.raw_default
    return [
        Effect(
            "set_type", table, node.name,
            new=type_of(new.typeName),
            collation=name_of(new.collClause.collname) if new.collClause is not None else "",
            computed=using is not None and not _is_cast(using, node.name, type_of(new.typeName)),
            verb="ALTER COLUMN … TYPE",
        )
    ]  # fmt: skip


def _is_cast(using: Any, column: str, new: str) -> bool:
    """The value is the column itself, at most cast to the new type: what PostgreSQL would do without it."""
    while is_a(using, "TypeCast"):
        if type_of(using.typeName).partition("(")[0] != new.partition("(")[0]:
            return False
        using = using.arg
    return is_a(using, "ColumnRef") and columns_in(using) == (column,)


def _default(table: str, node: Any) -> list[Effect]:
    if node.def_ is None or definitions.is_null(node.def_):
        return [Effect("drop_default", table, node.name, verb="DROP DEFAULT")]
    text = spelled(node.def_)
    volatile = is_volatile(node.def_)
    return [Effect("set_default", table, node.name, default=text, volatile=volatile, verb="SET DEFAULT")]


def _set_not_null(table: str, node: Any) -> list[Effect]:
    return [Effect("set_not_null", table, node.name, verb="SET NOT NULL")]


def _drop_not_null(table: str, node: Any) -> list[Effect]:
    return [Effect("drop_not_null", table, node.name, verb="DROP NOT NULL")]


def _add_identity(table: str, node: Any) -> list[Effect]:
    return [Effect("set_default", table, node.name, default="identity", identity=True, verb="ADD IDENTITY")]


def _drop_identity(table: str, node: Any) -> list[Effect]:
    return [Effect("drop_default", table, node.name, verb="DROP IDENTITY")]


def _set_expression(table: str, node: Any) -> list[Effect]:
    # A virtual column has nothing to write; which kind it is does not show here.
    return [Effect("rewrite", table, node.name, verb=f"ALTER COLUMN {node.name} SET EXPRESSION")]


def _add_constraint(table: str, node: Any) -> list[Effect]:
    return definitions.constraint(table, node.def_)


def _drop_constraint(table: str, node: Any) -> list[Effect]:
    cascade = _cascades(node)
    return [Effect("drop_constraint", table, name=node.name, cascade=cascade, verb="DROP CONSTRAINT")]


def _validate(table: str, node: Any) -> list[Effect]:
    return [Effect("validate", table, name=node.name, verb="VALIDATE CONSTRAINT")]


def _attach(table: str, node: Any) -> list[Effect]:
    return [Effect("attach", table, name=node.def_.name.relname, verb="ATTACH PARTITION")]


def _detach(table: str, node: Any) -> list[Effect]:
    name, concurrently = node.def_.name.relname, bool(node.def_.concurrent)
    return [Effect("detach", table, name=name, concurrently=concurrently, verb="DETACH PARTITION")]


def _cascades(node: Any) -> bool:
    return node.behavior is not None and node.behavior.name == "DROP_CASCADE"


_COMMANDS = {
    "AT_AddColumn": _add_column,
    "AT_DropColumn": _drop_column,
    "AT_AlterColumnType": _set_type,
    "AT_ColumnDefault": _default,
    "AT_SetNotNull": _set_not_null,
    "AT_DropNotNull": _drop_not_null,
    "AT_AddIdentity": _add_identity,
    "AT_DropIdentity": _drop_identity,
    "AT_SetExpression": _set_expression,
    "AT_AddConstraint": _add_constraint,
    "AT_DropConstraint": _drop_constraint,
    "AT_ValidateConstraint": _validate,
    "AT_AttachPartition": _attach,
    "AT_DetachPartition": _detach,
}
