"""SQL that stands as text in the Python of a data migration: `cursor.execute("…")`, `editor.execute("…")`.

It is read, never run. Where a name is put into it at run time, a placeholder stands for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .function_source import Definition, Source
from .python_text import HOLE, named_holes, parameters_filled, text_of, with_names

_OTHER_ENGINES = frozenset({"sqlite", "sqlite3", "mysql", "mariadb", "oracle", "microsoft"})
_DEEPEST_CALL = 3
# What `execute` belongs to, by the words in its name; what else has a method of that name may take no SQL.
_TAKES_SQL = ("cursor", "editor", "connection")


@dataclass(frozen=True, slots=True)
class Written:
    """SQL as it is handed over. `holes` are the placeholders in it of what is known at run time only; where
    nothing of it is known, `sql` is empty.
    """

    sql: str
    holes: frozenset[str] = frozenset()


def sql_of(source: Source) -> list[Written]:
    """What the function, and what it calls in its module, hand to an `execute`, in order.

    Placeholders of parameters become a value. What is asked for another engine by its vendor's name is left
    out.
    """
    return list(_texts(source, source.definition, {}, 0))


def _texts(
    source: Source, function: Definition, given: Mapping[str, str | None], depth: int
) -> Iterator[Written]:
    known: dict[str, str | None] = dict(given)

    def read(node: ast.expr) -> str | None:
        return text_of(node, known, source.globals)

    for node in _walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = read(node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = read(node.target)
            added = read(node.value)
            known[node.target.id] = None if before is None or added is None else before + added
        elif isinstance(node, ast.For):
            known.update({one.id: None for one in ast.walk(node.target) if isinstance(one, ast.Name)})
        elif isinstance(node, ast.Call):
            called = source.neighbours.get(getattr(node.func, "id", ""))
            if getattr(node.func, "attr", "") in {"execute", "executescript"} and node.args:
                text = read(node.args[0])
                if text is not None and text.strip(f"{HOLE} "):
                    text = parameters_filled(text) if len(node.args) > 1 or node.keywords else text
                    yield Written(with_names(text), named_holes(text))
                elif _takes_sql(node.func):
                    yield Written("")
            elif called is not None and called is not function and depth < _DEEPEST_CALL:
                names = [one.arg for one in (*called.args.posonlyargs, *called.args.args)]
                passed = dict(zip(names, map(read, node.args), strict=False))
                passed |= {one.arg: read(one.value) for one in node.keywords if one.arg}
                yield from _texts(source, called, passed, depth + 1)


def _takes_sql(function: ast.expr) -> bool:
    """`cursor.execute`, `schema_editor.execute`, `connection.cursor().execute`."""
    owner = function.value if isinstance(function, ast.Attribute) else function
    owner = owner.func if isinstance(owner, ast.Call) else owner
    name = str(getattr(owner, "attr", "") or getattr(owner, "id", "")).lower()
    return any(word in name for word in _TAKES_SQL)


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
