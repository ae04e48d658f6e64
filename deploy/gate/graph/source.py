"""From a finding's place, `app_label.migration_name`, to the file and the line of the operation."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from deploy.reporting.findings import Finding
from deploy.reporting.location import Location

from .offline import flattened
from .plan import MigrationKey, place


class OperationPlace(str):
    """`app_label.migration_name` that also knows which operation (from 0) it is about.

    It is equal to the plain name, which is all that reports and ledger keep.
    """

    __slots__ = ("position",)
    position: int


def place_of(key: MigrationKey, position: int) -> OperationPlace:
    """The place of a finding about the operation at `position` of a migration's list."""
    made = OperationPlace(place(key))
    made.position = position
    return made


def place_in(key: MigrationKey, migration: Migration, operation: Operation) -> str:
    """The place of a finding about `operation`, which may be inside a SeparateDatabaseAndState."""
    for position, whole in enumerate(migration.operations):
        if any(part is operation for part in flattened([whole])):
            return place_of(key, position)
    return place(key)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a migration's file, from 1: of a class, and of each operation in its list (none if it is
    made by code).
    """

    migration: int = 1
    operations: tuple[int, ...] = ()


def locate(finding: Finding, top: Path) -> Location | None:
    """The line of the operation, or of the migration's class where the operation is not known; of a model's
    class; or of an app's models.

    `top` is the top of the work tree, links resolved. None where the place is nothing in a file below it.
    """
    app_label, _, name = (finding.place or "").partition(".")
    try:
        config = apps.get_app_config(app_label)
        folder = _folder(app_label)
    except (LookupError, AppRegistryNotReady):
        return None
    if not name:
        path, line = Path(config.path, "models.py").resolve(), 1
    elif folder and (folder / f"{name}.py").is_file():
        path = folder / f"{name}.py"
        lines = lines_of(path)
        position = getattr(finding.place, "position", -1)
        line = lines.operations[position] if 0 <= position < len(lines.operations) else lines.migration
    else:
        path, line = _of_model(app_label, name)
    if not path.is_file() or not path.is_relative_to(top):
        return None
    return Location(path.relative_to(top).as_posix(), line)


def _of_model(app_label: str, name: str) -> tuple[Path, int]:
    """Where the model's class is; nowhere when the code has no such model (any more)."""
    try:
        model = apps.get_model(app_label, name)
        path = Path(inspect.getfile(model)).resolve()
    except (LookupError, TypeError, OSError):
        return Path(), 1
    return path, lines_of(path, model.__name__).migration


@lru_cache(maxsize=1024)
def lines_of(path: Path, name: str = "Migration") -> Lines:
    """Where a file has its class `name` and the operations in it; line 1 for what cannot be read."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return Lines()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return Lines(node.lineno, _operations(node))
    return Lines()


def _operations(migration: ast.ClassDef) -> tuple[int, ...]:
    for node in migration.body:
        names = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if not any(isinstance(name, ast.Name) and name.id == "operations" for name in names):
            continue
        value = getattr(node, "value", None)
        if isinstance(value, ast.List | ast.Tuple) and not any(
            isinstance(element, ast.Starred) for element in value.elts
        ):
            return tuple(element.lineno for element in value.elts)
    return ()


def _folder(app_label: str) -> Path | None:
    """Where the app's migrations are, links resolved, without importing them; None where there are none."""
    try:
        name, _ = MigrationLoader.migrations_module(app_label)
        spec = find_spec(name) if name else None
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).resolve() if places else None
