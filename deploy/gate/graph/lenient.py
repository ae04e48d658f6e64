"""Django's loader of migrations, made to go on: what one module can't say must not hide the rest.

For judging only. What runs migrations takes Django's own loader, which stops at the first fault.
"""

from __future__ import annotations

import ast
import os
import pkgutil
import sys
import traceback
from importlib import import_module, reload
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from django.apps import apps
from django.db.migrations import Migration
from django.db.migrations.loader import MIGRATIONS_MODULE_NAME, MigrationLoader

from deploy.reporting.findings import Finding

from ..findings import BROKEN_GRAPH
from .project_findings import IGNORED_FOLDER, UNREADABLE

_LONGEST = 200


class Unreadable(Migration):
    """Stands for a migration that can't be imported: in its place in the graph, without operations."""


class LenientLoader(MigrationLoader):
    """Leaves out what can't be read, and says so in `problems`.

    A migration that can't be imported keeps its place (its `dependencies` are read from its text, or it
    follows the one before it in the folder); `unreadable` are the apps with such gaps. A dependency on a
    migration that does not exist is dropped, or leads to the one before it in the folder.
    """

    def __init__(self, connection: Any, *, ignore_no_migrations: bool = True) -> None:
        self.problems: list[Finding] = []
        self.unreadable: set[str] = set()
        super().__init__(connection, ignore_no_migrations=ignore_no_migrations)

    def load_disk(self) -> None:
        """As Django's, module by module."""
        self.disk_migrations = {}
        self.unmigrated_apps = set()
        self.migrated_apps = set()
        for app in apps.get_app_configs():
            package = self._package(app.label)
            if package is None:
                self.unmigrated_apps.add(app.label)
                continue
            self.migrated_apps.add(app.label)
            names = sorted(
                name for _, name, is_pkg in pkgutil.iter_modules(package.__path__)
                if not is_pkg and name[0] not in "_~"
            )  # fmt: skip
            for position, name in enumerate(names):
                made = self._migration(package, app.label, name)
                if made is None:
                    made = _placeholder(package, app.label, name, names[:position])
                    self.unreadable.add(app.label)
                self.disk_migrations[app.label, name] = made
        self._drop_dangling()

    def _package(self, label: str) -> ModuleType | None:
        """The package of the app's migrations, or None where Django sees none."""
        module_name, explicit = self.migrations_module(label)
        if module_name is None:
            return None
        was_loaded = module_name in sys.modules
        try:
            package = import_module(module_name)
            if was_loaded and hasattr(package, "__path__"):
                reload(package)
        except (Exception, SystemExit) as error:  # noqa: BLE001 – whatever a module raises is reported
            missing = isinstance(error, ModuleNotFoundError) and not explicit
            if not (missing and MIGRATIONS_MODULE_NAME in str(getattr(error, "name", "")).split(".")):
                self._unreadable(label, label, _file_of(module_name), error)
            return None
        if not hasattr(package, "__path__"):
            return None  # migrations.py
        if getattr(package, "__file__", None) is None and not isinstance(package.__path__, list):
            folder = Path(next(iter(package.__path__)))
            if any(folder.glob("[0-9]*.py")):
                self.problems.append(IGNORED_FOLDER(app=label, folder=_shown(folder), place=label))
            return None
        return package

    def _migration(self, package: ModuleType, label: str, name: str) -> Migration | None:
        module_name = f"{package.__name__}.{name}"
        try:
            return import_module(module_name).Migration(name, label)  # type: ignore[no-any-return]  # Django's
        except (Exception, SystemExit) as error:  # noqa: BLE001 – as above
            self._unreadable(f"{label}.{name}", label, _file_of(module_name), error)
            return None

    def _unreadable(self, place: str, label: str, file: Path | None, error: BaseException) -> None:
        where = f"{_shown(file)}:{_line(error, file)}" if file else label
        problem = f"{type(error).__name__}: {' '.join(str(getattr(error, 'msg', error)).split())}"
        self.problems.append(UNREADABLE(file=where, problem=problem[:_LONGEST], place=place))

    def _drop_dangling(self) -> None:
        replaced = {old for one in self.disk_migrations.values() for old in one.replaces}
        known = {*self.disk_migrations, *replaced}
        for key, migration in self.disk_migrations.items():
            for attribute in ("dependencies", "run_before"):
                kept = []
                for other in getattr(migration, attribute):
                    app, name = other
                    if tuple(other) in known or (
                        name in {"__first__", "__latest__"}
                        and app in self.migrated_apps | self.unmigrated_apps
                    ):
                        kept.append(other)
                        continue
                    before = [one for one in self.disk_migrations if one[0] == app and one < key]
                    if app == key[0] and attribute == "dependencies" and before:
                        kept.append(max(before))
                    problem = f"{key[0]}.{key[1]} names {app}.{name} in {attribute}, which does not exist."
                    self.problems.append(BROKEN_GRAPH(problem=problem, place=f"{key[0]}.{key[1]}"))
                setattr(migration, attribute, kept)


def _placeholder(package: ModuleType, label: str, name: str, earlier: list[str]) -> Migration:
    """What the text of the module says of its place in the graph; without it, after the one before."""
    made = Unreadable(name, label)
    file = _file_of(f"{package.__name__}.{name}")
    setattr(made, "dependencies", [(label, earlier[-1])] if earlier else [])  # noqa: B010 – ours, not the class's
    try:
        tree = ast.parse(file.read_bytes() if file else b"")
    except (SyntaxError, ValueError):
        return made
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            attribute = node.targets[0].id
            if attribute in {"dependencies", "replaces", "run_before"}:
                setattr(made, attribute, _pairs(node.value))
    return made


def _pairs(value: ast.expr) -> list[tuple[str, str]]:
    """Those of a list of (app, name) that are written out; swappable_dependency and the like are left."""
    found = []
    for one in getattr(value, "elts", ()):
        try:
            app, name = ast.literal_eval(one)
        except (ValueError, TypeError):
            continue
        found.append((str(app), str(name)))
    return found


def _file_of(module_name: str) -> Path | None:
    try:
        spec = find_spec(module_name)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _line(error: BaseException, file: Path | None) -> int:
    """The line of `file` at which importing it went wrong."""
    if isinstance(error, SyntaxError) and error.filename and file and Path(error.filename) == file:
        return error.lineno or 1
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
    ]
    return (lines[-1] if lines else None) or 1


def culprit(error: BaseException) -> str:
    """file:line of the project's module whose import raised `error`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(Path(error.filename))}:{error.lineno or 1}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and f"{os.sep}importlib{os.sep}" not in frame.filename
    ]
    return f"{_shown(Path(frames[-1].filename))}:{frames[-1].lineno}" if frames else "?"


def _shown(path: Path) -> str:
    """From the folder in which the command runs, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
