"""What the ORM code of a data migration writes, read from its source without running it.

Querysets are followed from `apps.get_model(…)` through variables and method calls. A queryset is *bounded*
when a slice, or a filter by a primary or unique key, keeps it small; what cannot be followed is not reported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.apps import apps as todays_apps

from .function_source import Definition, Source

# Makers of new querysets that have as many rows as their source, as far as one can tell.
_SAME_ROWS = frozenset({
    "all", "using", "select_related", "prefetch_related", "only", "defer", "order_by", "annotate", "alias",
    "distinct", "values", "values_list", "iterator", "select_for_update", "db_manager", "get_queryset",
    "reverse", "extra", "exclude", "filter", "complex_filter", "union", "difference", "intersection",
})  # fmt: skip
_FILTERS = frozenset({"filter", "complex_filter"})
_ALL_OF_IT = frozenset({"list", "tuple", "set", "sorted", "iter", "enumerate", "reversed", "tqdm", "track"})
_DEEPEST_CALL = 3


@dataclass(frozen=True, slots=True)
class Rows:
    """A model (`app_label.Model`) or a queryset of its rows; `bounded` when they are few, `chunk` when they
    are one of many portions.
    """

    model: str
    queryset: bool = False
    bounded: bool = False
    chunk: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """UPDATE or DELETE of `rows`: by one statement, or in a loop by a statement for each row or portion."""

    verb: str
    rows: Rows
    in_loop: bool
    in_batches: bool
    line: int


# What a loop works on that cuts its work into portions in a way that is not followed further.
_PORTION = Rows("", queryset=True, bounded=True, chunk=True)

IsUnique = Callable[[str, frozenset[str]], bool]
ClassOf = Callable[[object], str]


def writes_of(source: Source, is_unique: IsUnique, class_of: ClassOf) -> list[Write]:
    """The unbounded writes of a RunPython function and of what it calls in its module.

    `is_unique(model, fields)` tells that these fields name one row or few; `class_of(value)` is the label of
    a model class of today's code, or "".
    """
    return list(dict.fromkeys(_Reader(source, is_unique, class_of).function(source.definition, {}, 0)))


@dataclass
class _Reader:
    source: Source
    is_unique: IsUnique
    class_of: ClassOf
    seen: dict[str, Rows] = field(default_factory=dict)
    names: Mapping[str, object] = field(default_factory=dict)

    def function(self, node: Definition, given: Mapping[str, Rows], depth: int) -> Iterator[Write]:
        """`given`: what the arguments are, by the parameter's name."""
        outer = self.seen, self.names
        self.seen, self.names = dict(given), {**self.source.globals, **_imported(node)}
        body: list[ast.stmt] = list(node.body) if isinstance(node.body, list) else [ast.Expr(node.body)]
        found = list(self._block(body, depth, None, batches=_works_in_batches(node)))
        self.seen, self.names = outer
        yield from found

    def _block(
        self, body: list[ast.stmt], depth: int, row: tuple[str, Rows] | None, *, batches: bool
    ) -> Iterator[Write]:
        """`row`: the variable of the loop around, and the queryset that it walks."""
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if isinstance(statement, ast.For):
                yield from self._calls(statement.iter, depth, row)
                rows = self.rows(statement.iter)
                names = [n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)]
                walked = None
                if rows and rows.queryset and (rows.chunk or not (rows.bounded or batches)):
                    walked = (names[-1] if names else "", rows)
                    if rows.chunk and names:
                        self.seen[names[-1]] = rows
                elif batches and not row:
                    walked = ("", _PORTION)
                yield from self._block(statement.body, depth, walked or row, batches=batches)
                yield from self._block(statement.orelse, depth, row, batches=batches)
                continue
            for inner in ("test", "items", "subject"):
                for part in _as_list(getattr(statement, inner, None)):
                    yield from self._calls(part, depth, row)
            nested = False
            around = ("", _PORTION) if batches and not row and isinstance(statement, ast.While) else row
            for inner in ("body", "orelse", "finalbody"):
                if block := getattr(statement, inner, None):
                    nested = True
                    yield from self._block(block, depth, around, batches=batches)
            for handler in getattr(statement, "handlers", ()):
                yield from self._block(handler.body, depth, row, batches=batches)
            if not nested:
                yield from self._calls(statement, depth, row)
                self._remember(statement)

    def _remember(self, statement: ast.stmt) -> None:
        targets = getattr(statement, "targets", None) or _as_list(getattr(statement, "target", None))
        value = getattr(statement, "value", None)
        for target in targets:
            if isinstance(target, ast.Name):
                if isinstance(value, ast.expr) and (rows := self.rows(value)):
                    self.seen[target.id] = rows
                else:
                    self.seen.pop(target.id, None)

    def _calls(self, tree: ast.AST, depth: int, row: tuple[str, Rows] | None) -> Iterator[Write]:
        for node in ast.walk(tree):
            if isinstance(node, ast.NamedExpr) and (rows := self.rows(node.value)):
                self.seen[node.target.id] = rows
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute):
                yield from self._method(node, node.func, row)
            elif isinstance(node.func, ast.Name) and depth < _DEEPEST_CALL:
                called = self.source.neighbours.get(node.func.id)
                if called is not None and called is not self.source.definition:
                    names = [argument.arg for argument in called.args.args]
                    given = {
                        name: rows
                        for name, value in (
                            *zip(names, node.args, strict=False),
                            *((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg),
                        )
                        if (rows := self.rows(value))
                    }
                    yield from self.function(called, given, depth + 1)

    def _method(self, call: ast.Call, method: ast.Attribute, row: tuple[str, Rows] | None) -> Iterator[Write]:
        name = method.attr
        if name not in {"update", "delete", "_raw_delete", "save", "bulk_update"}:
            return
        verb = "DELETE" if "delete" in name else "UPDATE"
        if row and isinstance(method.value, ast.Name) and method.value.id == row[0]:
            yield Write(verb, row[1], in_loop=True, in_batches=row[1].chunk, line=call.lineno)
            return
        rows = self.rows(method.value)
        if rows is None or not rows.queryset or name == "save":
            return
        in_batches = any(keyword.arg == "batch_size" for keyword in call.keywords) or bool(
            row and row[1].chunk
        )
        if row or in_batches:
            yield Write(verb, rows, in_loop=True, in_batches=in_batches, line=call.lineno)
        elif not rows.bounded and name != "bulk_update":
            yield Write(verb, rows, in_loop=False, in_batches=False, line=call.lineno)

    def rows(self, node: ast.expr) -> Rows | None:
        """The model or queryset that an expression is, or None where it is neither, or cannot be told."""
        if isinstance(node, ast.Name):
            return self.seen.get(node.id) or self._direct(node)
        if isinstance(node, ast.NamedExpr):
            return self.rows(node.value)
        if isinstance(node, ast.Attribute):
            base = self.rows(node.value)
            if base is not None:
                is_manager = node.attr.lstrip("_").endswith(("objects", "manager"))
                return replace(base, queryset=True) if is_manager and not base.queryset else None
            return self._direct(node)
        if isinstance(node, ast.Subscript):
            base = self.rows(node.value)
            sliced = isinstance(node.slice, ast.Slice)
            return replace(base, bounded=True) if base and base.queryset and sliced else None
        return self._of_call(node) if isinstance(node, ast.Call) else None

    def _of_call(self, call: ast.Call) -> Rows | None:
        function = call.func
        if isinstance(function, ast.Attribute):
            if function.attr == "get_model":
                return _model_named(call)
            base = self.rows(function.value)
            if base is None or not base.queryset or function.attr not in _SAME_ROWS:
                return None
            few = function.attr in _FILTERS and self._few(base.model, call)
            return replace(base, bounded=base.bounded or few)
        value = _value(function, self.names)
        if not isinstance(value, type) and (label := self.class_of(value)):
            return Rows(label)  # get_user_model()
        first = self.rows(call.args[0]) if call.args else None
        if first is None or not first.queryset:
            return None
        whole = isinstance(function, ast.Name) and function.id in _ALL_OF_IT
        # chunked(rows, 1000), islice(rows, 1000), Paginator(rows, 1000)
        return first if whole else replace(first, bounded=True, chunk=True)

    def _few(self, model: str, call: ast.Call) -> bool:
        """The filter names single rows or a range of keys."""
        names = [keyword.arg for keyword in call.keywords if keyword.arg]
        if any(name.split("__")[0] in {"pk", "id"} for name in names):
            return True
        exact = frozenset(
            name.split("__")[0]
            for name in names
            if "__" not in name or name.endswith(("__exact", "__iexact", "__in"))
        )
        return bool(exact) and self.is_unique(model, exact)

    def _direct(self, node: ast.expr) -> Rows | None:
        label = self.class_of(_value(node, self.names))
        return Rows(label) if label else None


def direct_models(source: Source, class_of: ClassOf) -> list[str]:
    """Labels of the models of today's code whose rows the function reads or makes, in order.

    A constant or a choice taken from such a class is no use of the model.
    """
    found: dict[str, None] = {}
    todo, done = [source.definition], set[int]()
    while todo:
        node = todo.pop(0)
        done.add(id(node))
        names = {**source.globals, **_imported(node)}
        given = {argument.arg for argument in node.args.args}
        for one in ast.walk(node):
            used: ast.expr | None = None
            if isinstance(one, ast.Attribute) and one.attr.lstrip("_").endswith(("objects", "manager")):
                used = one.value
            elif isinstance(one, ast.Call):
                used = one.func
                called = source.neighbours.get(getattr(used, "id", ""))
                if called is not None and id(called) not in done:
                    todo.append(called)
                if isinstance(used, ast.Attribute) and used.attr == "get_model":
                    registry = getattr(used.value, "id", "")
                    if registry not in given and names.get(registry) is todays_apps:
                        found.setdefault(_model_named(one).model)
                    continue
            if used is not None and (label := class_of(_value(used, names))):
                found.setdefault(label)
    return list(found)


def models_asked_for(source: Source) -> list[str]:
    """Labels that the function asks its `apps` for, where a model that is not there would stop it.

    A function inside it may run at another time (a handler of post_migrate), with other `apps`.
    """
    given = {argument.arg for argument in source.definition.args.args}
    caught = {
        id(one)
        for block in ast.walk(source.definition)
        if isinstance(block, ast.Try | ast.If)
        or (isinstance(block, ast.FunctionDef | ast.Lambda) and block is not source.definition)
        for one in ast.walk(block)
    }
    return list(
        dict.fromkeys(
            _model_named(one).model
            for one in ast.walk(source.definition)
            if isinstance(one, ast.Call)
            and isinstance(one.func, ast.Attribute)
            and one.func.attr == "get_model"
            and getattr(one.func.value, "id", "") in given
            and id(one) not in caught
        )
    )


def _imported(node: Definition) -> dict[str, object]:
    """What the function itself imports, of modules that are loaded already."""
    found: dict[str, object] = {}
    for one in ast.walk(node):
        if isinstance(one, ast.ImportFrom) and one.module and not one.level:
            module = getattr(sys.modules.get(one.module), "__dict__", {})
            for name in one.names:
                value = module.get(name.name) or sys.modules.get(f"{one.module}.{name.name}")
                if value is not None:
                    found[name.asname or name.name] = value
    return found


def _value(node: ast.expr, names: Mapping[str, Any]) -> object:
    """What a dotted name means in the module: only modules and classes are looked into."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _value(node.value, names)
        return getattr(base, "__dict__", {}).get(node.attr) if base is not None else None
    return None


def _model_named(call: ast.Call) -> Rows:
    """`get_model("app", "Model")`, `get_model("app.Model")`, with keywords too."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    texts = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    return Rows(".".join(texts[:2]) if texts else "its model")


def _works_in_batches(node: Definition) -> bool:
    """It cuts its work: slices in a `while`, a range with steps, islice, batched, a Paginator, batch_size."""
    for one in ast.walk(node):
        if isinstance(one, ast.While) and any(isinstance(part, ast.Slice) for part in ast.walk(one)):
            return True
        if isinstance(one, ast.Call):
            function = one.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            cuts = (
                name in {"islice", "batched", "Paginator"}
                or "chunk" in name.lower()
                or "batch" in name.lower()
            )
            if cuts or (name == "range" and len(one.args) == 3):
                return True
            if any(keyword.arg == "batch_size" for keyword in one.keywords):
                return True
    return False


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
