"""The baseline file: findings that an old project has and knows of, so that only new ones stop it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal

from ..acknowledgements import can_be_answered_for
from ..graph.plan import MigrationKey, load_leniently, place
from .edited import sources
from .judgement import GateReport

OUTDATED = FindingType(
    "deploy.M087",
    "warning",
    "The baseline {file} has {id} of {migration}, and {why}.",
    "python manage.py migrategate check --all --write-baseline   # then look at what has changed in the file",
    why="An entry that stands for nothing would one day hide something.",
)
UNUSABLE = FindingType(
    "deploy.M088",
    "error",
    "The baseline {file} cannot be {action}: {problem}.",
    "Bring it back from Git, or write it anew: python manage.py migrategate check --all --write-baseline",
)
_SCHEMA = 1
# What a migration says of itself and is not so: a baseline is for what it does; for the rest somebody
# answers by `acknowledge`.
_NEVER_HELD = frozenset({"deploy.M084"})


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A finding's place (`app_label.migration_name`) and id, and the digest of the migration's source."""

    migration: str
    id: str
    source: str


def path_of(conf: DeployConf) -> Path:
    """Where the project keeps its baseline, whether it has one or not."""
    return conf.base_dir / conf.gate_baseline


def read(path: Path) -> frozenset[Entry]:
    """The entries of a baseline file; none where there is no file.

    Raises:
        Refusal: deploy.M088, exit code 2.
    """
    try:
        return _entries(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise Refusal(UNUSABLE(file=path.name, action="read", problem=problem)) from error
    except KeyError as error:
        raise Refusal(UNUSABLE(file=path.name, action="read", problem=f"it has no {error}")) from error
    except (ValueError, TypeError) as error:
        raise Refusal(UNUSABLE(file=path.name, action="read", problem=error)) from error


def _entries(document: Any) -> frozenset[Entry]:
    if document["schema"] != _SCHEMA:
        raise ValueError(f"its schema is {document['schema']!r}, not {_SCHEMA}")
    return frozenset(
        Entry(str(one["migration"]), str(one["id"]), str(one["source"])) for one in document["findings"]
    )


def with_baseline(
    conf: DeployConf,
    findings: Iterable[Finding],
    loader: MigrationLoader,
    *,
    judged: Collection[MigrationKey] = (),
) -> list[Finding]:
    """`apply_baseline` with the project's file.

    Raises:
        Refusal: deploy.M088, exit code 2.
    """
    path = path_of(conf)
    return apply_baseline(findings, read(path), loader.disk_migrations, file=path.name, judged=judged)


def apply_baseline(
    findings: Iterable[Finding],
    entries: Collection[Entry],
    migrations: Mapping[MigrationKey, Migration],
    *,
    file: str,
    judged: Collection[MigrationKey] = (),
) -> list[Finding]:
    """`findings`, with those in the baseline made level info, and then a finding for each outdated entry.

    `migrations` are all of the project. An entry counts only for the source that it was written for. Of
    `judged` migrations it is outdated, too, when what it names was not found.
    """
    findings = list(findings)
    if not entries:
        return findings
    by_place = {place(key): migration for key, migration in migrations.items()}
    named = {one.migration for one in entries} & set(by_place)
    now = sources({key: migration for key, migration in migrations.items() if place(key) in named})
    valid = {
        (one.migration, one.id)
        for one in entries
        if now.get(one.migration) == one.source and one.id not in _NEVER_HELD
    }
    known = [
        replace(one, level="info", message=f"{one.message} In the baseline {file}.")
        if (one.place, one.id) in valid and one.level != "info"
        else one
        for one in findings
    ]
    found = {(one.place, one.id) for one in findings}
    places = {place(key) for key in judged}
    for entry in sorted(entries):
        why = ""
        if entry.migration not in by_place:
            why = "there is no such migration"
        elif now.get(entry.migration) != entry.source:
            why = "its file was changed since"
        elif entry.id in _NEVER_HELD:
            why = "no baseline can hold that"
        elif entry.migration in places and (entry.migration, entry.id) not in found:
            why = "it is not found any more"
        if why:
            known.append(
                OUTDATED(file=file, id=entry.id, migration=entry.migration, why=why, place=entry.migration)
            )
    return known


def write_baseline(conf: DeployConf, report: GateReport, path: Path | None = None) -> tuple[GateReport, Path]:
    """Write the findings of `report`, which was made without a baseline, into the project's file or `path`.

    Returns the report with them made level info, and the file. Raises as `write`.
    """
    path = path or path_of(conf)
    migrations = load_leniently(None).disk_migrations
    write(path, report.findings, migrations, report.pending)
    found = apply_baseline(report.findings, read(path), migrations, file=path.name)
    return replace(report, findings=tuple(found)), path


def write(
    path: Path,
    findings: Iterable[Finding],
    migrations: Mapping[MigrationKey, Migration],
    judged: Collection[MigrationKey],
) -> None:
    """Write the baseline of `findings`.

    Entries of migrations that were not `judged` stay, if they still hold. The file is sorted and put in place
    in one step: a reader, another writer or a kill sees the old one or the new one.

    Raises:
        Refusal: deploy.M088, exit code 2; the file is as it was.
    """
    now = sources(migrations)
    places = {place(key) for key in judged}
    kept = {one for one in read(path) if one.migration not in places and now.get(one.migration) == one.source}
    new = {
        Entry(str(one.place), one.id, now[str(one.place)])
        for one in findings
        if one.level != "info"
        and one.place in now
        and can_be_answered_for(one.id)
        and one.id not in _NEVER_HELD
    }
    rows = [
        json.dumps({"migration": e.migration, "id": e.id, "source": e.source}) for e in sorted(kept | new)
    ]
    listed = "\n" + ",\n".join(f"    {row}" for row in rows) + "\n  " if rows else ""
    try:
        _replace(path, f'{{\n  "schema": {_SCHEMA},\n  "findings": [{listed}]\n}}\n')
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise Refusal(UNUSABLE(file=path.name, action="written", problem=problem)) from error


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    made = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        made.chmod(mode)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
