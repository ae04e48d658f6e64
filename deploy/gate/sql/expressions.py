"""Parts of a parsed statement: names, types, expressions as text, and what an expression depends on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from .effect import SERIAL, normal_type
from .volatility import is_builtin, is_volatile_function

_ZONED = {"timestamptz", "timetz"}


def name_of(parts: Any) -> str:
    """A possibly qualified name without its schema: tables are told apart by name."""
    return str(parts[-1].sval) if parts else ""


def walk(node: Any) -> Iterator[Any]:
    """The node and everything below it."""
    from pglast import ast

    if isinstance(node, tuple):
        for one in node:
            yield from walk(one)
    elif isinstance(node, ast.Node):
        yield node
        for attribute in node:
            value = getattr(node, attribute)
            if isinstance(value, tuple | ast.Node):
                yield from walk(value)


def is_a(node: Any, kind: str) -> bool:
    """The node is of the class that the grammar calls `kind`; told by name, so that pglast need not be there
    before SQL is read.
    """
    return type(node).__name__ == kind


def columns_in(node: Any) -> tuple[str, ...]:
    """The columns that an expression names, each once, in order."""
    found = [
        str(one.fields[-1].sval)
        for one in walk(node)
        if is_a(one, "ColumnRef") and is_a(one.fields[-1], "String")
    ]
    return tuple(dict.fromkeys(found))


def functions_in(node: Any) -> tuple[str, ...]:
    """The functions that an expression calls, without their schemas."""
    return tuple(name_of(one.funcname) for one in walk(node) if is_a(one, "FuncCall"))


def is_volatile(node: Any) -> bool:
    """The value may differ from row to row: it calls a function of PostgreSQL's that is volatile."""
    return any(is_builtin(name) and is_volatile_function(name) for name in functions_in(node))


def foreign_functions(node: Any) -> tuple[str, ...]:
    """The functions that an expression calls and that are not PostgreSQL's own."""
    return tuple(name for name in functions_in(node) if not is_builtin(name))


def spelled(node: Any) -> str:
    """An expression as SQL text: equal expressions are spelled the same, however they were written."""
    from pglast.stream import RawStream

    return str(RawStream()(node))


@lru_cache(maxsize=4096)
def same_text(condition: str) -> str:
    """A condition or expression in `spelled`'s spelling; unchanged but for white space if it is no SQL."""
    from pglast import parse_sql
    from pglast.parser import ParseError

    try:
        statement: Any = parse_sql(f"SELECT {condition}")[0].stmt
    except ParseError:
        return " ".join(condition.split())
    return spelled(statement.targetList[0].val) if len(statement.targetList or ()) == 1 else condition


@lru_cache(maxsize=4096)
def columns_of(condition: str) -> tuple[str, ...]:
    """The columns in a condition that is given as text; none if it is no SQL."""
    from pglast import parse_sql
    from pglast.parser import ParseError

    try:
        return columns_in(tuple(one.stmt for one in parse_sql(f"SELECT {condition}")))
    except ParseError:
        return ()


def constant(node: Any) -> str | None:
    """The text of a literal, or None for anything else."""
    while is_a(node, "TypeCast"):
        node = node.arg
    if not is_a(node, "A_Const") or node.isnull:
        return None
    value: Any = node.val
    for attribute in ("sval", "fval", "ival", "boolval"):
        if hasattr(value, attribute):
            found = getattr(value, attribute)
            return str(found or 0) if attribute == "ival" else str(found)
    return None


def type_of(node: Any) -> str:
    """A parsed type in `normal_type`'s spelling; serials are told by `serial_of`."""
    base = name_of(node.names)
    sizes = [text for one in node.typmods or () if (text := constant(one)) is not None]
    if base == "interval" and sizes:
        sizes = sizes[1:]  # the first is a bit mask of fields
    if base == "bpchar" and sizes == ["1"]:
        base = "char"
    text = normal_type(SERIAL.get(base, base))
    if sizes:
        text += f"({','.join(sizes)})"
    return text + "[]" * len(node.arrayBounds or ())


def is_serial(node: Any) -> bool:
    """The type is one of the serials: an integer with a sequence as its default."""
    return node is not None and name_of(node.names) in SERIAL
