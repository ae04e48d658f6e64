"""The text that a Python expression makes, read from its syntax tree, with holes for what is not known."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Mapping
from typing import Any

# Around the name of a hole; no SQL has this character of the private use area.
HOLE = "\ue000"
_HOLE = re.compile(f"{HOLE}(\\w*){HOLE}")
# `id = {key}`, `id IN ({keys})`: what is compared with a column is a value.
_VALUE = re.compile(rf"(=\s*|\bIN\s*\(\s*){HOLE}\w*{HOLE}(?![\w.\"({HOLE}])", re.IGNORECASE)
_UNCHANGED = frozenset({"dedent", "strip", "SQL", "text", "format_html"})


def text_of(node: ast.expr, known: Mapping[str, str | None], values: Mapping[str, Any]) -> str | None:
    """A literal, a name that stands for one, or what f"", %, +, str.format make of them; None for the rest.

    `known` are texts by the names of variables (None: not known), `values` the globals of the module. What is
    put into a text and isn't known itself becomes a hole: its name between two `HOLE`.
    """

    def read(one: ast.expr) -> str | None:
        return text_of(one, known, values)

    def part(one: ast.expr) -> str:
        text = read(one)
        return _hole(one) if text is None else text

    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        value = known[node.id] if node.id in known else values.get(node.id)
        return value if isinstance(value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = (one.value if isinstance(one, ast.FormattedValue) else one for one in node.values)
        return "".join(map(part, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = read(node.left), read(node.right)
        return None if left is None and right is None else part(node.left) + part(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        template = read(node.left)
        return None if template is None else _percent(template, node.right, part)
    if isinstance(node, ast.Call):
        return _call(node, read, part)
    return None


def _call(node: ast.Call, read: Any, part: Any) -> str | None:
    name = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if name == "format" and owner is not None and (template := read(owner)) is not None:
        return _format(template, node, part)
    if name in _UNCHANGED:
        inner = node.args[0] if node.args else owner
        return read(inner) if inner is not None else None
    return None


def _percent(template: str, given: ast.expr, part: Any) -> str:
    listed = list(given.elts) if isinstance(given, ast.Tuple) else [given]

    def fill(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        if found[1]:
            return f"{HOLE}{_word(found[1])}{HOLE}"
        return str(part(listed.pop(0))) if listed else f"{HOLE}{HOLE}"

    return re.sub(r"%%|%(?:\((\w+)\))?[-+ #0]*\d*(?:\.\d+)?[sdrifa]", fill, template)


def _format(template: str, call: ast.Call, part: Any) -> str | None:
    listed = list(call.args)
    named = {one.arg: one.value for one in call.keywords if one.arg}
    made = ""
    try:
        for text, name, _, _ in string.Formatter().parse(template):
            made += text
            if name is None:
                continue
            if name.isdigit() and int(name) < len(call.args):
                made += part(call.args[int(name)])
            elif name == "" and listed:
                made += part(listed.pop(0))
            elif name in named:
                made += part(named[name])
            else:
                made += f"{HOLE}{_word(name)}{HOLE}"
    except ValueError:  # Python would refuse it, too
        return None
    return made


def _hole(node: ast.expr) -> str:
    """Named by the last name in the expression that tells most: `table`, `db_table`, `quote_name(table)`."""
    while isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    if isinstance(node, ast.Call):
        node = node.func
    name = getattr(node, "attr", "") or getattr(node, "id", "")
    return f"{HOLE}{_word(name)}{HOLE}"


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name).lower()[:40]


def with_names(text: str) -> str:
    """The holes as identifiers that no table has: `_table_`; as a number where a value is due."""
    text = _VALUE.sub(lambda found: f"{found[1]}1", text)
    return _HOLE.sub(lambda found: _identifier(found[1]), text)


def named_holes(text: str) -> frozenset[str]:
    """The identifiers that `with_names` puts in."""
    return frozenset(_identifier(name) for name in _HOLE.findall(text))


def _identifier(name: str) -> str:
    return f"_{name or 'unknown'}_"


def parameters_filled(text: str) -> str:
    """psycopg's placeholders (%s, %(name)s) as some value, and its doubled percent signs single."""
    return re.sub(r"%(?:s|\(\w+\)s|%)", lambda found: "%" if found[0] == "%%" else "'1'", text)
