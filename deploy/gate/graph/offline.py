"""SQL of migrations without a database: Django's own schema editor on a connection that never connects.

The statements are PostgreSQL's on every engine: they are the vocabulary in which changes are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations import RunPython, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding

from ..sql.effect import Effect
from ..sql.effects import effects
from .function_source import source_of
from .plan import MigrationKey, migrates, step
from .python_sql import sql_of
from .sparse import build
from .states import usable
from .unconnected import connection_like, editor_of, in_place_of, text_of
from .walk import needed, snapshot


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
    with editor_of(connection, written, failed) as editor, in_place_of(alias, connection):
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
            return lost or text_of(error)
        else:
            return lost
        if lost:
            return lost
    try:
        part.database_forwards(app_label, editor, usable(before)[0], usable(after)[0])
    except Exception as error:  # noqa: BLE001 – as above
        return text_of(error)
    return ""


@cache
def _create_extension() -> type[Operation]:
    from django.contrib.postgres.operations import CreateExtension

    return CreateExtension


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
        for text in sql_of(source) if source else ():
            statement = _statement(text.sql, part, position)
            unreadable = any(effect.kind == "unreadable" for effect in statement.effects)
            if not text.sql or (text.holes and (unreadable or _hits(statement, text.holes))):
                if not unreadable or _may_change(text.sql):
                    found.append(replace(statement, effects=_put_together(statement, text.holes)))
            elif not unreadable:
                found.append(statement)
    return found


# With these the old code, or the data, may be at an end; what they name is not known until they run.
_ON_NAMED = frozenset({
    "drop_table", "rename_table", "drop_column", "rename_column", "set_type", "set_not_null", "add_unique",
    "add_primary_key", "add_exclude", "add_check", "add_fk", "drop_default",
})  # fmt: skip
# A text that cannot be read for its holes and begins so changes nothing, or is another engine's.
_HARMLESS_WORDS = frozenset({"select", "values", "show", "explain", "pragma", "analyze", "comment", "set"})
RUN_TIME = "EXECUTE of SQL that is put together at run time"


def _hits(statement: Statement, holes: frozenset[str]) -> bool:
    """A change to something that is named at run time."""
    return any(
        one.kind in _ON_NAMED and any(hole in name for hole in holes for name in (one.table, one.column))
        for one in statement.effects
    )


def _may_change(sql: str) -> bool:
    return sql.split(None, 1)[0].lower() not in _HARMLESS_WORDS if sql.strip() else True


def _put_together(statement: Statement, holes: frozenset[str]) -> tuple[Effect, ...]:
    """What is known of it, and that the rest is not."""
    kept = [one for one in statement.effects if one.kind != "unreadable"]
    if not kept:
        return (Effect("opaque", verb=RUN_TIME),)
    named = [one for one in kept if _hits(replace(statement, effects=(one,)), holes)]
    unknown = [Effect("opaque", one.table, verb=f"{one.verb} of what is named at run time") for one in named]
    return (*unknown, *kept)


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
