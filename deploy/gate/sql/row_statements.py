"""Statements on rows: which ones they touch, and whether in pieces."""

from __future__ import annotations

from typing import Any

from .effect import Effect
from .expressions import columns_in, constant, is_a, name_of, walk
from .session_statements import is_zero
from .volatility import is_builtin


def update(node: Any) -> list[Effect]:
    return [_rows("update", "UPDATE", node)]


def delete(node: Any) -> list[Effect]:
    return [_rows("delete", "DELETE", node)]


def _rows(kind: str, verb: str, node: Any, table: str = "") -> Effect:
    limited = any(getattr(one, "limitCount", None) is not None for one in walk(node))
    ranged = any(
        is_a(one, "A_Expr") and one.kind.name.startswith("AEXPR_BETWEEN") for one in walk(node.whereClause)
    )
    held = tuple(dict.fromkeys(_held(node.whereClause)))
    nested = _nested(node)
    if nested:  # WITH rows AS (DELETE …) …
        limited = limited or any(one.batched for one in nested)
    table = table or node.relation.relname
    return Effect(kind, table, columns=held, batched=limited or ranged, verb=verb)


def _held(condition: Any) -> list[str]:
    """The columns that every row must have a given value in (`=` and IN with constants, joined by AND)."""
    if is_a(condition, "BoolExpr") and condition.boolop.name == "AND_EXPR":
        return [name for one in condition.args for name in _held(one)]
    if not is_a(condition, "A_Expr") or condition.kind.name not in {"AEXPR_OP", "AEXPR_IN"}:
        return []
    if [str(one.sval) for one in condition.name] != ["="]:
        return []
    for one, other in ((condition.lexpr, condition.rexpr), (condition.rexpr, condition.lexpr)):
        given = other if isinstance(other, tuple) else (other,)
        if is_a(one, "ColumnRef") and all(constant(value) is not None for value in given):
            return list(columns_in(one))
    return []


def insert(node: Any) -> list[Effect]:
    query = node.selectStmt
    found = _nested(node)
    if query is not None and query.fromClause:  # not VALUES, not SELECT 1
        batched = query.limitCount is not None
        conflict = node.onConflictClause
        if conflict is not None and conflict.action.name == "ONCONFLICT_UPDATE":
            verb = "INSERT … SELECT … ON CONFLICT DO UPDATE"
            return [*found, Effect("update", node.relation.relname, batched=batched, verb=verb)]
        found.append(Effect("insert", node.relation.relname, batched=batched, verb="INSERT … SELECT"))
    return found


def merge(node: Any) -> list[Effect]:
    return [Effect("update", node.relation.relname, verb="MERGE")]


def _nested(node: Any) -> list[Effect]:
    """The data-changing statements in WITH."""
    clause = getattr(node, "withClause", None)
    return [] if clause is None else [e for one in clause.ctes for e in _inside(one.ctequery)]


def _inside(node: Any) -> list[Effect]:
    from .effects import of_statement

    return of_statement(node)


def select(node: Any) -> list[Effect]:
    found = _nested(node)
    tables: Any = node.fromClause or ()
    if node.lockingClause and len(tables) == 1 and is_a(tables[0], "RangeVar"):
        found.append(_rows("update", "SELECT … FOR UPDATE", node, tables[0].relname))
    for one in walk(node):
        if type(one).__name__ != "FuncCall":
            continue
        name = name_of(one.funcname)
        if name == "set_config":
            values = [constant(argument) for argument in one.args or ()]
            if values[:1] == ["lock_timeout"] and is_zero(values[1] or ""):
                found.append(Effect("no_limit", verb="set_config of lock_timeout to 0"))
        elif name == "setval":
            sequence = constant(one.args[0]) if one.args else None
            found.append(Effect("setval", name=(sequence or "").rpartition(".")[2].strip('"'), verb="setval"))
        elif not is_builtin(name):
            found.append(Effect("opaque", verb=f"SELECT {name}()"))
    return found
