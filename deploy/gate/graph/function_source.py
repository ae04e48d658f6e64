"""The code of a function that RunPython calls, as a syntax tree with the names that it can see."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

Definition = ast.FunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Source:
    """A function's definition, its module's other functions by name, and the module's globals."""

    definition: Definition
    neighbours: Mapping[str, ast.FunctionDef]
    globals: Mapping[str, Any]


def source_of(function: object) -> Source | None:
    """The source of a plain function, a method or a lambda; of what it wraps; None where there is none.

    Nothing is called. Callables without Python source (C, instances of a class) have none.
    """
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    defined = _definitions(Path(code.co_filename))
    here = [one for one in defined.nodes if _starts_at(one, code.co_firstlineno)]
    named = [one for one in here if getattr(one, "name", "<lambda>") == code.co_name]
    if len(named) != 1:  # two lambdas on a line: which of them is not known
        return None
    return Source(named[0], defined.functions, getattr(function, "__globals__", {}))


@dataclass(frozen=True, slots=True)
class _Definitions:
    nodes: tuple[Definition, ...] = ()
    functions: Mapping[str, ast.FunctionDef] = field(default_factory=dict)


@lru_cache(maxsize=256)
def _definitions(path: Path) -> _Definitions:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return _Definitions()
    nodes = tuple(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda))
    return _Definitions(nodes, {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)})


def _starts_at(node: Definition, line: int) -> bool:
    """Python counts a function from its first decorator on."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return line == min([node.lineno, *(decorator.lineno for decorator in decorators)])
