"""SQL of migrations without a database: Django's own schema editor on a connection that never connects.

The statements are PostgreSQL's on every engine: they are the vocabulary in which changes are judged.
Names of constraints, which Django looks up in the database, are made up; nothing here depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.operations import RunPython, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding

from .effect import Effect
from .effects import effects
from .function_source import source_of
from .plan import MigrationKey, migrates, one_line, step
from .python_sql import sql_of
from .sparse import build
from .states import usable
from .walk import needed, snapshot

# What Django's feature flags assume of the server; newer than all that they ask about.
ASSUMED_SERVER_VERSION = 180000
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
LONGEST_NAME = 63


class NeedsDatabase(Exception):  # noqa: N818 – it states a need
    """An operation asked the database something while its SQL was being made."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a migration: its text, what it does, and the operation that it belongs to."""

    sql: str
    effects: tuple[Effect, ...]
    operation: Operation
    position: int


@dataclass(frozen=True, slots=True)
class Collected:
    """A migration's statements in the order in which they would run.

    `unknown` are operations whose SQL could not be made, with the reason; `broken` says which do not fit the
    models before them.
    """

    key: MigrationKey
    migration: Migration
    statements: tuple[Statement, ...]
    unknown: tuple[tuple[Operation, str], ...] = field(default=())
    broken: tuple[Finding, ...] = field(default=())

    @property
    def effects(self) -> list[Effect]:
        """What all statements do, in order."""
        return [effect for statement in self.statements for effect in statement.effects]


@cache
def _offline() -> type[BaseDatabaseWrapper]:
    from django.db.backends.postgresql.base import DatabaseWrapper

    class Offline(DatabaseWrapper):
        def connect(self) -> None:
            raise NeedsDatabase("it asks the database")

        def ensure_connection(self) -> None:
            raise NeedsDatabase("it asks the database")

    return Offline


def connection_like(alias: str) -> BaseDatabaseWrapper:
    """A PostgreSQL connection named `alias` that makes SQL and refuses to connect."""
    defaults = dict(connections.settings[alias]) if alias in connections.settings else {}
    settings = {**defaults, "ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}
    offline = _offline()(settings, alias)
    offline.__dict__["pg_version"] = ASSUMED_SERVER_VERSION
    return offline


@contextmanager
def _editor(connection: BaseDatabaseWrapper, written: list[str], failed: list[str]) -> Iterator[Any]:
    """An editor that puts its SQL into `written`, and why a default of Python can't be had into `failed`."""
    editor_class: Any = connection.SchemaEditorClass

    class Writer(editor_class):  # type: ignore[misc]  # the engine's editor is known at run time only
        def execute(self, sql: object, params: Sequence[object] | None = ()) -> None:
            text = str(sql)
            written.append(text % tuple(_literal(value) for value in params) if params else text)

        def _constraint_names(self, model: Any, column_names: Any = None, **kinds: Any) -> list[str]:
            kind = next(
                (name for name in ("unique", "foreign_key", "check", "index") if kinds.get(name)), "any"
            )
            if kinds.get("primary_key"):
                return [f"{model._meta.db_table}_pkey"]
            return [made_up_name(model._meta.db_table, *(column_names or ()), kind)]

        def effective_default(self, field: Any) -> object:
            try:
                return super().effective_default(field)
            except Exception as error:  # noqa: BLE001 – a project's own function; it is reported
                failed.append(f"the default of {field.name}: {_text(error)}")
                return 0  # some constant: what it is decides nothing here

        def _get_sequence_name(self, *_: str) -> None:
            return None

        def _is_collation_deterministic(self, *_: str) -> bool:
            return True

    editor = Writer(connection, collect_sql=True, atomic=False)
    editor.deferred_sql = []
    yield editor


def made_up_name(*parts: str) -> str:
    """A constraint's name where Django would look it up, no longer than PostgreSQL's names are."""
    return "_".join(parts).encode()[:LONGEST_NAME].decode(errors="ignore")


def collect(
    key: MigrationKey,
    migration: Migration,
    state: ProjectState,
    alias: str,
) -> Collected:
    """The statements of `migration` on top of `state`, which is moved forward (in place) over it.

    Nothing is executed: RunPython contributes the SQL that stands in it as text, and an operation that needs
    the database to make its SQL is listed in `unknown`; the walk goes on after it.
    """
    connection = connection_like(alias)
    written: list[str] = []
    failed: list[str] = []
    statements: list[Statement] = []
    unknown: list[tuple[Operation, str]] = []
    broken: list[Finding] = []
    owners: dict[int, tuple[object, int, Operation]] = {}
    with _editor(connection, written, failed) as editor, _in_place_of(alias, connection):
        for position, operation in enumerate(migration.operations):
            before = snapshot(state)
            if misfit := step(state, key, operation):
                broken += misfit
                continue
            for part, part_before, part_after in _database_parts(operation, key, before, state, broken):
                if problem := _problem(part, migration.app_label, editor, part_before, part_after, written):
                    unknown.append((part, problem))
                unknown += [(part, text) for text in failed]
                failed.clear()
                statements += [_statement(sql, part, position) for sql in written]
                written.clear()
                for sql in editor.deferred_sql:
                    owners.setdefault(id(sql), (sql, position, part))
            statements += _statements_in_python(operation, position)
        statements += [_statement(str(sql), *owners[id(sql)][:0:-1]) for sql in editor.deferred_sql]
    return Collected(key, migration, tuple(statements), tuple(unknown), tuple(broken))


def _problem(
    part: Operation,
    app_label: str,
    editor: Any,
    before: ProjectState,
    after: ProjectState,
    written: list[str],
) -> str:
    """Let `part` write its SQL; why it could not, or an empty string.

    It gets the models that it names. One that asks for others is given all that can be built.
    """
    if isinstance(part, _create_extension()):  # it asks whether the extension is there
        if migrates(editor.connection.alias, app_label):
            written.append(f"CREATE EXTENSION IF NOT EXISTS {editor.quote_name(vars(part)['name'])}")
        return ""
    keys = needed(part, app_label, before, after)
    if keys is not None:
        lost = ""
        try:
            first, second = build(before, keys), build(after, keys)
            lost = "; ".join(f"{name}: {reason}" for name, reason in second.lost)
            part.database_forwards(app_label, editor, first.as_state(before), second.as_state(after))
        except LookupError:
            written.clear()  # it asks for more than it names
        except Exception as error:  # noqa: BLE001 – any project's operation may fail here; it is reported
            return lost or _text(error)
        else:
            return lost
        if lost:
            return lost
    try:
        part.database_forwards(app_label, editor, usable(before)[0], usable(after)[0])
    except Exception as error:  # noqa: BLE001 – as above
        return _text(error)
    return ""


@cache
def _create_extension() -> type[Operation]:
    from django.contrib.postgres.operations import CreateExtension

    return CreateExtension


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)[:200]}"


def flattened(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The operations that touch the database, those inside SeparateDatabaseAndState included."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from flattened(operation.database_operations)
        else:
            yield operation


def _statements_in_python(operation: Operation, position: int) -> list[Statement]:
    """Of what RunPython's function would execute, the texts that are PostgreSQL's."""
    found: list[Statement] = []
    for part in flattened([operation]):
        source = source_of(part.code) if isinstance(part, RunPython) else None
        for sql in sql_of(source) if source else ():
            statement = _statement(sql, part, position)
            if not any(effect.kind == "unreadable" for effect in statement.effects):
                found.append(statement)
    return found


def _statement(sql: str, operation: Operation, position: int) -> Statement:
    return Statement(sql, tuple(effects(sql)), operation, position)


def _database_parts(
    operation: Operation, key: MigrationKey, before: ProjectState, after: ProjectState, broken: list[Finding]
) -> Iterator[tuple[Operation, ProjectState, ProjectState]]:
    """What of `operation` becomes SQL, with the states around each part; RunPython never does."""
    if not isinstance(operation, SeparateDatabaseAndState):
        if operation.reduces_to_sql:
            yield operation, before, after
        return
    for part in operation.database_operations:
        part_after = snapshot(before)
        if misfit := step(part_after, key, part):
            broken += misfit
            continue
        yield from _database_parts(part, key, before, part_after, broken)
        before = part_after


@contextmanager
def _in_place_of(alias: str, connection: BaseDatabaseWrapper) -> Iterator[None]:
    """While SQL is made, `alias` is the connection that refuses: no operation can reach the real database."""
    real = connections[alias] if alias in connections.settings else None
    connections[alias] = connection
    try:
        yield
    finally:
        if real is None:
            del connections[alias]
        else:
            connections[alias] = real


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
