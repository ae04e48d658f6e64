"""Collects what Django's finders find and hashes it with Django's own storage, into a scratch folder."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import HashedFilesMixin, ManifestStaticFilesStorage
from django.core.files.storage import Storage
from django.utils.module_loading import import_string

from deploy.reporting.findings import Finding, FindingType

from .storage import HashedStaticFilesStorage

MISSING_REFERENCE = FindingType(
    "deploy.A001",
    "error",
    "{file} names {missing!r}, which no static files finder has.{nearest}",
    "Add the file, or take the reference out of {file}.",
    why="The browser would get a 404, and the hashed name cannot be made.",
)
NOT_TEXT = FindingType(
    "deploy.A002",
    "error",
    "{file} is not UTF-8 text: {reason}.",
    "iconv -f latin1 -t utf-8 {file}",
)
CIRCULAR = FindingType(
    "deploy.A003",
    "error",
    "These files name each other in a circle, so no hash settles: {files}.",
    "Break the circle of @import or import in one of them.",
)
NO_HASHED_STORAGE = FindingType(
    "deploy.A004",
    "warning",
    "STORAGES['staticfiles'] is {backend}: templates will not use the hashed names that are uploaded.",
    'STORAGES["staticfiles"] = {{"BACKEND": "deploy.assets.storage.HashedStaticFilesStorage"}}',
)

Sources = Mapping[str, tuple[Storage, str]]


@dataclass(frozen=True)
class Collected:
    """`names`: path → hashed name, both below STATIC_URL; their contents lie in `folder`."""

    folder: Path
    names: Mapping[str, str]
    findings: tuple[Finding, ...]


def find_sources() -> dict[str, tuple[Storage, str]]:
    """Every file that `collectstatic` would take: path → (finder's storage, path in it). First one wins."""
    ignored = apps.get_app_config("staticfiles").ignore_patterns  # type: ignore[attr-defined]  # its own
    found: dict[str, tuple[Storage, str]] = {}
    for finder in get_finders():
        for path, storage in finder.list(ignored):
            prefix = getattr(storage, "prefix", None)
            name = PurePosixPath(prefix or "", *Path(path).parts).as_posix()
            found.setdefault(name, (storage, path))
    return dict(sorted(found.items()))


def hashing_storage(folder: Path) -> tuple[ManifestStaticFilesStorage, Finding | None]:
    """The project's own storage, writing to `folder`, so that names are those its templates will ask for.

    A project whose storage does not hash gets ours and a finding; so does one whose storage hashes but
    keeps its files elsewhere than on disk.
    """
    entry: dict[str, Any] = settings.STORAGES.get("staticfiles", {})
    backend = entry.get("BACKEND", "")
    configured = import_string(backend) if backend else None
    if configured is not None and issubclass(configured, ManifestStaticFilesStorage):
        options = {**(entry.get("OPTIONS") or {}), "location": str(folder)}
        options.pop("manifest_storage", None)  # the scratch manifest must not land in the project's
        return configured(**options), None
    hashes = configured is not None and issubclass(configured, HashedFilesMixin)
    finding = None if hashes else NO_HASHED_STORAGE(backend=backend or "not set")
    return HashedStaticFilesStorage(location=str(folder)), finding


def baked_names() -> dict[str, str]:
    """Path → hashed name of the manifest in STATIC_ROOT that the project's storage reads; empty if none."""
    entry = settings.STORAGES.get("staticfiles", {})
    backend = import_string(entry["BACKEND"]) if entry.get("BACKEND") else object
    manifest = Path(settings.STATIC_ROOT or "", "staticfiles.json")
    if not settings.STATIC_ROOT or not issubclass(backend, ManifestStaticFilesStorage):
        return {}
    try:
        paths = json.loads(manifest.read_bytes())["paths"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {str(path): str(name) for path, name in paths.items()} if isinstance(paths, dict) else {}


def collect(folder: Path) -> Collected:
    """Hash every static file into `folder`: new names, and references in CSS and JavaScript rewritten.

    Raises:
        django.core.exceptions.ImproperlyConfigured: STATIC_URL or the finders are not usable.
    """
    storage, finding = hashing_storage(folder)
    sources = find_sources()
    for name, (origin, path) in sources.items():
        _place(folder / name, origin, path)
    findings: dict[Finding, None] = {finding: None} if finding else {}
    for name, _, outcome in storage.post_process({name: (storage, name) for name in sources}):
        if isinstance(outcome, Exception):
            findings.setdefault(_explain(name, outcome, sources))
            if isinstance(outcome, UnicodeDecodeError):
                break  # Django's generator has no text to go on with
    return Collected(folder, dict(storage.hashed_files), tuple(findings))


def _place(target: Path, origin: Storage, path: str) -> None:
    """Make the original visible to the storage, which looks there for what other files name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(os.path.realpath(origin.path(path)))
    except NotImplementedError:  # a finder's storage that is not on disk
        with origin.open(path) as file:
            target.write_bytes(file.read())


def _explain(name: str, error: Exception, sources: Sources) -> Finding:
    if isinstance(error, UnicodeDecodeError):
        return NOT_TEXT(file=_shown(name, sources), reason=error.reason, place=_shown(name, sources))
    missing = re.match(r"The file '(.+?)' could not be found", str(error))
    if missing is None:
        return CIRCULAR(files=name, place=name)
    target = missing.group(1)
    near = difflib.get_close_matches(target, sources, n=1)
    return MISSING_REFERENCE(
        file=name,
        missing=target,
        nearest=f" Did you mean {near[0]!r}?" if near else "",
        place=_line_of(name, PurePosixPath(target).name, sources),
    )


def _line_of(name: str, text: str, sources: Sources) -> str:
    """`file:line` of the first line of the source that holds `text`."""
    storage, path = sources[name]
    with storage.open(path) as file:
        lines = file.read().decode(errors="replace").splitlines()
    number = next((number for number, line in enumerate(lines, 1) if text in line), 1)
    return f"{_shown(name, sources)}:{number}"


def _shown(name: str, sources: Sources) -> str:
    """The source's path below the working folder where it is there, else its name below STATIC_URL."""
    storage, path = sources[name]
    try:
        return str(Path(storage.path(path)).relative_to(Path.cwd()))
    except (NotImplementedError, ValueError):  # not on disk, or outside of the project: the name must do
        return name
