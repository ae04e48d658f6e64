"""SQL that stands as text in the Python of a data migration: `cursor.execute("…")`, `editor.execute("…")`.

It is read, never run. What is put together at run time is not known here; a rehearsal sees it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .function_source import Definition, Source

_OTHER_ENGINES = frozenset({"sqlite", "sqlite3", "mysql", "mariadb", "oracle", "microsoft"})
_DEEPEST_CALL = 3


def sql_of(source: Source) -> list[str]:
    """The texts that the function, and what it calls in its module, hand to an `execute`, in order.

    Placeholders become a value. What is asked for another engine by its vendor's name is left out.
    """
    return list(_texts(source, source.definition, 0))


def _texts(source: Source, function: Definition, depth: int) -> Iterator[str]:
    known: dict[str, str] = {}
    for node in _walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            if (text := _text(node.value, source, known)) is not None:
                known[node.targets[0].id] = text
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", "")
            called = source.neighbours.get(getattr(node.func, "id", ""))
            if name in {"execute", "executescript"} and node.args:
                text = _text(node.args[0], source, known)
                if text is not None:
                    yield _filled(text) if len(node.args) > 1 or node.keywords else text
            elif called is not None and called is not function and depth < _DEEPEST_CALL:
                yield from _texts(source, called, depth + 1)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes in the order of the source, without branches for other engines."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _asks_for_another_engine(child.test):
            for other in child.orelse:
                yield from _walk(other)
        else:
            yield from _walk(child)


def _asks_for_another_engine(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or not all(isinstance(one, ast.Eq | ast.In) for one in test.ops):
        return False
    values = {one.value for one in ast.walk(test) if isinstance(one, ast.Constant)}
    return bool(values & _OTHER_ENGINES) and "postgresql" not in values


def _text(node: ast.expr, source: Source, known: dict[str, str]) -> str | None:
    """A literal, or a name that stands for one here or in the module."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        value = known.get(node.id, source.globals.get(node.id))
        return value if isinstance(value, str) else None
    return None


def _filled(text: str) -> str:
    """psycopg's placeholders (%s, %(name)s) as some value, and its doubled percent signs single."""
    return re.sub(r"%(?:s|\(\w+\)s|%)", lambda found: "%" if found[0] == "%%" else "'1'", text)
