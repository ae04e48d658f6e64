"""The migration graph: what this image brings, what is applied, and what is therefore pending, in order."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.db.migrations import Migration
from django.db.migrations.exceptions import (
    BadMigrationError,
    CircularDependencyError,
    InconsistentMigrationHistory,
    NodeNotFoundError,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from deploy.databases.client_tools import UNSUPPORTED_ENGINE
from deploy.databases.drivers import engine_refusal
from deploy.reporting.findings import Finding, Refusal

from ..findings import BROKEN_GRAPH, HISTORY, TWO_LEAVES
from ..run_findings import UNREACHABLE
from .lenient import LenientLoader, culprit
from .project_findings import HALF_SQUASHED, ROUTERS, STATE_FAILS
from .walk import rename_bases, unshare

MigrationKey = tuple[str, str]
_Loader = TypeVar("_Loader", bound=MigrationLoader)

SUPPORTED_VENDORS = frozenset({"postgresql", "sqlite"})


def place(key: MigrationKey) -> str:
    """`app_label.migration_name`, the place of a finding about a migration."""
    return f"{key[0]}.{key[1]}"


def require_supported(alias: str) -> None:
    """Refuse an engine whose locks and statements are not known here, and routers that nobody can ask.

    Raises:
        Refusal: deploy.D002, deploy.D010 for an engine that can't be loaded, deploy.M103; exit code 2.
    """
    try:
        connection = connections[alias]
    except (ImproperlyConfigured, ImportError) as error:
        raise Refusal(engine_refusal(str(connections.settings[alias]["ENGINE"]), error)) from error
    try:
        _ = router.routers
    except (ImproperlyConfigured, ImportError, AttributeError, TypeError) as error:
        raise Refusal(ROUTERS(problem=f"{type(error).__name__}: {one_line(error)}")) from error
    if connection.vendor not in SUPPORTED_VENDORS:
        raise Refusal(UNSUPPORTED_ENGINE(engine=connection.settings_dict["ENGINE"]))


def load(alias: str | None) -> MigrationLoader:
    """The graph on disk with what database `alias` has applied; `None` asks no database.

    Raises:
        Refusal: deploy.M006 for a graph that Django can't build, deploy.M061 when the database does not
        answer.
    """
    return _built(alias, MigrationLoader)


def load_leniently(alias: str | None) -> LenientLoader:
    """As `load`, for judging only: what can't be imported is left out and reported in `problems`.

    Raises:
        Refusal: deploy.M006 where the rest makes no graph either, deploy.M061.
    """
    return _built(alias, LenientLoader)


def _built(alias: str | None, kind: type[_Loader]) -> _Loader:
    try:
        return kind(connections[alias] if alias else None, ignore_no_migrations=True)
    except DatabaseError as error:
        raise Refusal(UNREACHABLE(alias=alias, problem=one_line(error))) from error
    except (BadMigrationError, CircularDependencyError, NodeNotFoundError) as error:
        raise Refusal(BROKEN_GRAPH(problem=one_line(error)), exit_code=1) from error
    except (Exception, SystemExit) as error:  # a module of the project raised it
        problem = f"{culprit(error)}: {type(error).__name__}: {one_line(error)}"
        raise Refusal(BROKEN_GRAPH(problem=problem), exit_code=1) from error


def full_plan(loader: MigrationLoader) -> list[MigrationKey]:
    """Every migration of the graph in the order in which Django runs them on an empty database."""
    ordered: dict[MigrationKey, None] = {}
    for leaf in loader.graph.leaf_nodes():
        for key in loader.graph.forwards_plan(leaf):
            ordered.setdefault(key)
    return list(ordered)


def is_in(key: MigrationKey, migration: Migration, known: Collection[MigrationKey]) -> bool:
    """`known` has the migration itself, or everything that it replaces (squashed migrations)."""
    return key in known or (bool(migration.replaces) and all(old in known for old in migration.replaces))


def pending(loader: MigrationLoader) -> list[MigrationKey]:
    """What the database of `loader` lacks, in plan order."""
    return [key for key in full_plan(loader) if key not in loader.applied_migrations]


def state_of(
    loader: MigrationLoader, known: Collection[MigrationKey], problems: list[Finding] | None = None
) -> ProjectState:
    """The models as they are when exactly `known` has run.

    An operation that does not fit is passed over, as a finding in `problems`; without that list, what it
    raised is.
    """
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for key in full_plan(loader):
        migration = loader.graph.nodes[key]
        if not is_in(key, migration, known):
            continue
        if problems is None:
            migration.mutate_state(state, preserve=False)
        else:
            move(state, key, migration, problems)
    return state


def move(state: ProjectState, key: MigrationKey, migration: Migration, problems: list[Finding]) -> None:
    """Take `state` (in place) over the migration; operations that do not fit become findings."""
    for operation in migration.operations:
        problems += step(state, key, operation)


def step(state: ProjectState, key: MigrationKey, operation: Operation) -> list[Finding]:
    """Take `state` (in place) over one operation of migration `key`; the finding, if it does not fit."""
    unshare(state, key[0], operation)
    try:
        operation.state_forwards(key[0], state)
        rename_bases(state, key[0], operation)
    except Exception as error:  # noqa: BLE001 – any project's operation may fail here; it is reported
        state.__dict__.pop("apps", None)  # models that were being built when it failed
        problem = f"{type(error).__name__}: {one_line(error)}"
        return [STATE_FAILS(operation=type(operation).__name__, problem=problem, place=place(key))]
    return []


def leaves() -> dict[str, list[str]]:
    """The last migrations of every app in this image: one name each, more where branches conflict."""
    found: dict[str, list[str]] = {}
    for app_label, name in sorted(load(None).graph.leaf_nodes()):
        found.setdefault(app_label, []).append(name)
    return found


def known() -> frozenset[MigrationKey]:
    """Every migration that this image brings."""
    return frozenset(full_plan(load(None)))


def applied(alias: str) -> frozenset[MigrationKey]:
    """What the database says has run, as `migrate` would see it (a squash counts when its parts have run).

    Raises:
        Refusal: deploy.M061 when the database does not answer.
    """
    loader = load(alias)
    try:
        recorded = MigrationRecorder(connections[alias]).applied_migrations()
    except DatabaseError as error:
        raise Refusal(UNREACHABLE(alias=alias, problem=one_line(error))) from error
    whole = (key for key in recorded if ":" not in key[1])  # `pieces` keeps parts of migrations there
    return frozenset(whole) | frozenset(loader.applied_migrations)


def graph_findings(loader: MigrationLoader, alias: str | None) -> list[Finding]:
    """Two leaves in an app, and a history in which a migration ran before one that it needs."""
    found = [
        TWO_LEAVES(app=app, names=", ".join(names), place=place((app, names[-1])))
        for app, names in sorted(loader.detect_conflicts().items())
    ]
    found += _half_squashed(loader)
    if alias:
        try:
            loader.check_consistent_history(connections[alias])
        except InconsistentMigrationHistory as error:
            found.append(HISTORY(problem=one_line(error)))
    return found


def _half_squashed(loader: MigrationLoader) -> list[Finding]:
    """Replacing migrations that Django leaves out, though nobody else can do what they do."""
    found = []
    for key, migration in sorted(loader.replacements.items()):
        absent = [old for old in migration.replaces if old not in loader.disk_migrations]
        missing = [old for old in absent if old not in loader.applied_migrations]
        applied = [old for old in migration.replaces if old in loader.applied_migrations]
        if key not in loader.graph.nodes and applied and missing:
            there, gone = (", ".join(place(one) for one in some[:5]) for some in (applied, missing))
            found.append(HALF_SQUASHED(applied=there, missing=gone, place=place(key)))
    return found


def source_path(migration: Migration) -> Path | None:
    """The file that defines the migration, or None for one made at run time."""
    try:
        return Path(inspect.getfile(type(migration)))
    except (TypeError, OSError):
        return None


def fingerprint(loader: MigrationLoader, phases: Iterable[tuple[MigrationKey, str]]) -> str:
    """SHA-256 over the ordered migrations, their phases and the bytes of their files.

    `apply` after a rehearsal is sound only while this is unchanged.
    """
    digest = hashlib.sha256()
    for key, phase in phases:
        path = source_path(loader.graph.nodes[key])
        body = path.read_bytes() if path and path.is_file() else b""
        digest.update(f"{key[0]}\0{key[1]}\0{phase}\0{len(body)}\0".encode())
        digest.update(body)
    return digest.hexdigest()


def server_version(alias: str) -> int:
    """PostgreSQL's version as a number (150003 for 15.3) if a connection is open; 0 where none is, so that
    asking never connects.
    """
    connection: Any = connections[alias]
    if connection.vendor != "postgresql" or connection.connection is None:
        return 0
    return int(connection.connection.info.server_version)


def migrates(alias: str, app_label: str, model_name: str | None = None) -> bool:
    """The project's routers let `alias` hold this app or model."""
    return bool(router.allow_migrate(alias, app_label, model_name=model_name))


def is_own(app_label: str) -> bool:
    """The app belongs to the project, not to an installed package whose migrations it can't write."""
    try:
        path = apps.get_app_config(app_label).path
    except LookupError:
        return True
    return "site-packages" not in path and "dist-packages" not in path


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
