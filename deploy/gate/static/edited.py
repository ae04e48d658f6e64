"""Migrations that were changed after a release had applied them: a database never sees such a change."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from django.db.migrations import Migration

from deploy.reporting.findings import Finding, FindingType

from ..graph.plan import MigrationKey, is_own, load, place, source_path

EDITED = FindingType(
    "deploy.M089",
    "error",
    "It has been changed since {by} had it: a database that has applied it will not get the change.",
    "Put the change into a migration of its own: python manage.py makemigrations {app}\n"
    "If it does what it did (an import that was moved), say so in it:\n"
    '@acknowledge("M089", "only an import was moved")',
    why="Django knows an applied migration by its name alone; only new databases run what the file has now.",
)

# What a decorator of this app says of a migration is not what the migration does.
_OURS = frozenset({"acknowledge", "phase"})


def digest(source: bytes) -> str:
    """A fingerprint (SHA-256, 32 hex digits) of what the Python source means.

    Comments, formatting and docstrings have no part in it, nor has what `deploy.gate` lets a migration say of
    itself. It is the same on every version of Python: a new version must not make all migrations look edited.
    What cannot be parsed is told by its bytes.
    """
    try:
        shape = json.dumps(_shape(ast.parse(source)), separators=(",", ":"))
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(source).hexdigest()[:32]
    return hashlib.sha256(shape.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digest_of(path: Path) -> str:
    """`digest` of a file; empty when it cannot be read."""
    try:
        return digest(path.read_bytes())
    except OSError:
        return ""


def sources(migrations: Mapping[MigrationKey, Migration]) -> dict[str, str]:
    """The digests of migrations by `app_label.name`, of those that have a file."""
    found = {}
    for key, migration in migrations.items():
        path = source_path(migration)
        if path is not None and (value := digest_of(path)):
            found[place(key)] = value
    return found


def own_sources() -> dict[str, str]:
    """`sources` of all migrations that the project itself brings."""
    return sources({key: one for key, one in load(None).disk_migrations.items() if is_own(key[0])})


def edited_findings(
    migrations: Mapping[MigrationKey, Migration],
    applied: Collection[MigrationKey],
    recorded: Mapping[str, tuple[str, str]],
) -> list[Finding]:
    """deploy.M089 for each of `applied` whose digest is not the one `recorded` by its place.

    `recorded` has a digest, and by whom it was recorded, in words ("release 1a2b3c").
    """
    known = {key: migrations[key] for key in applied if key in migrations and place(key) in recorded}
    return [
        EDITED(by=recorded[name][1], app=name.partition(".")[0], place=name)
        for name, value in sorted(sources(known).items())
        if value != recorded[name][0]
    ]


def _shape(node: Any) -> Any:
    """The tree as plain data, without what is empty: versions of Python differ in what they leave empty."""
    if isinstance(node, list):
        return [_shape(one) for one in node if not _is_silent(one)]
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__} {node!r}"
    fields: dict[str, Any] = {}
    for name, value in ast.iter_fields(node):
        if name in {"kind", "ctx"} or value is None or value == []:
            continue
        if (shape := _shape(value)) != []:
            fields[name] = shape
    return [type(node).__name__, fields]


def _is_silent(node: Any) -> bool:
    """A docstring (or any text that stands alone), an import of `deploy.gate`, or a decorator from there."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    if isinstance(node, ast.ImportFrom):
        return node.module == "deploy.gate" and {name.name for name in node.names} <= _OURS
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Name) and called.id in _OURS
