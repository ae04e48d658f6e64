"""DO blocks: the statements in them, as if each of them ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .effect import Effect


def do_block(node: Any) -> list[Effect]:
    """The effects of a DO statement. What it builds as text at run time is not known, nor is a block in
    another language than PL/pgSQL.
    """
    from pglast import parse_plpgsql
    from pglast.parser import ParseError
    from pglast.stream import RawStream

    language = next((str(one.arg.sval) for one in node.args if one.defname == "language"), "plpgsql")
    if language != "plpgsql":
        return [Effect("opaque", verb=f"DO in {language}")]
    try:
        tree = parse_plpgsql(RawStream()(node))
    except ParseError as error:
        return [Effect("unreadable", new=str(error.args[0]), verb="DO")]
    return [effect for kind, body in _statements(tree) for effect in _effects_of(kind, body)]


def _statements(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, body) of every PL/pgSQL statement, in order of the text."""
    if isinstance(node, list):
        for one in node:
            yield from _statements(one)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name.startswith("PLpgSQL_stmt_") and isinstance(value, dict):
                yield name.removeprefix("PLpgSQL_stmt_"), value
            yield from _statements(value)


def _effects_of(kind: str, body: dict[str, Any]) -> list[Effect]:
    from .effects import effects

    if kind == "execsql":
        return effects(_query(body["sqlstmt"]))
    if kind in {"perform", "call"}:
        found = effects(_query(body["expr"]))
        return [one for one in found if kind == "perform" or one.kind != "opaque"] or (
            [Effect("opaque", verb="CALL in a DO block")] if kind == "call" else []
        )
    if kind == "dynexecute":
        text = literal(_query(body["query"]))
        return effects(text) if text is not None else [Effect("opaque", verb="EXECUTE in a DO block")]
    if kind == "dynfors":
        return [Effect("opaque", verb="EXECUTE in a DO block")]
    if kind in {"commit", "rollback"}:
        return [Effect("transaction", verb=kind.upper())]
    return []


def _query(node: dict[str, Any]) -> str:
    return str(node["PLpgSQL_expr"]["query"])


def literal(expression: str) -> str | None:
    """The text of a string literal, or None for what is put together at run time."""
    from pglast import parse_sql

    from .expressions import constant

    statement: Any = parse_sql(f"SELECT {expression}")[0].stmt
    return constant(statement.targetList[0].val)
