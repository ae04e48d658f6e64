"""A migration that is not one transaction, operation by operation, so that a killed run can be gone on with.

What is done is kept where Django keeps it: beside the migration's own row in `django_migrations` to come,
`name:POSITION` says that an operation was begun, `name:POSITION:done` that it is finished. Django ignores the
names (none of its migrations can have a colon), and they go when the migration is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import django
from django.db import DatabaseError, InterfaceError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations import RunPython, RunSQL
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Refusal

from .effects import effects, statement_count, statement_kinds
from .errors import database_text, sqlstate
from .offline import collect, flattened
from .plan import place
from .presence import EVIDENCE, REPEATABLE, VISIBLE, is_there
from .run_findings import HALF_DATA, HALF_SCHEMA

# What to do with an operation on data that was interrupted: refuse, run it once more, or take it for done.
Interrupted = Literal["", "again", "done"]

# duplicate and undefined columns, tables, objects
# (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_MEETS_ANOTHER_SCHEMA = {"42701", "42P07", "42710", "42703", "42P01", "42704"}


def apply_in_pieces(
    executor: MigrationExecutor,
    state: ProjectState,
    migration: Migration,
    *,
    interrupted: Interrupted = "",
) -> ProjectState:
    """Run a migration with `atomic = False`, or what is left of it, and record it.

    Statements whose effect is there already are left out. Deferred statements (indexes, foreign keys) run at
    the end of their operation instead of at the end of the migration.

    Raises:
        Refusal: deploy.M057 for an operation on data of which nobody knows whether it is complete, M058 when
        the schema is neither the one before an operation nor the one after it.
    """
    return _Pieces(executor, migration, interrupted).run(state)


def forget_finished(executor: MigrationExecutor) -> None:
    """Remove what is left of migrations that another tool has finished and recorded."""
    rows = executor.recorder.migration_qs.filter(name__contains=":")
    applied = set(executor.recorder.applied_migrations())
    for row in rows:
        if (row.app, row.name.partition(":")[0]) in applied:
            row.delete()


class _Progress:
    def __init__(self, recorder: MigrationRecorder, migration: Migration) -> None:
        self.recorder = recorder
        self.app, self.name = migration.app_label, migration.name
        self.rows = recorder.migration_qs.filter(app=self.app, name__startswith=f"{self.name}:")
        self.names = set(self.rows.values_list("name", flat=True))

    def is_begun(self, position: int) -> bool:
        return f"{self.name}:{position}" in self.names

    def is_done(self, position: int) -> bool:
        return f"{self.name}:{position}:done" in self.names

    def begin(self, position: int) -> None:
        if not self.is_begun(position):
            self.recorder.record_applied(self.app, f"{self.name}:{position}")
            self.names.add(f"{self.name}:{position}")

    def finish(self, position: int) -> None:
        self.recorder.record_applied(self.app, f"{self.name}:{position}:done")

    def forget(self, position: int) -> None:
        with suppress(DatabaseError, InterfaceError):  # a lost connection: it stays begun
            self.recorder.record_unapplied(self.app, f"{self.name}:{position}")


class _Watch:
    """Leaves out statements whose effect is there, and sees whether anything was written."""

    def __init__(self, connection: BaseDatabaseWrapper, *, skips: bool, ours: bool) -> None:
        self.connection, self.ours = connection, ours
        self.skips = skips and connection.vendor == "postgresql"
        self.wrote = False
        self.evident = False

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        if self.skips:
            with self.connection.connection.cursor() as cursor:
                found = effects(str(sql))
                if is_there(cursor, found, ours=self.ours):
                    self.evident = self.evident or any(effect.kind in EVIDENCE for effect in found)
                    return None
        result = execute(sql, params, many, context)
        self.wrote = self.wrote or not str(sql).lstrip().upper().startswith(("SELECT", "SHOW", "SET "))
        return result


class _Pieces:
    def __init__(self, executor: MigrationExecutor, migration: Migration, interrupted: Interrupted) -> None:
        self.executor, self.migration, self.interrupted = executor, migration, interrupted
        self.connection = executor.connection
        self.progress = _Progress(executor.recorder, migration)
        # The last operation whose effect is there although no run of ours has begun it.
        self.found = -1

    def run(self, state: ProjectState) -> ProjectState:
        operations = self.migration.operations
        if not self.progress.names and any(acts_on_data(one) for one in operations):
            self.found = self._look_ahead(state.clone())
        with self.connection.schema_editor(atomic=False) as editor:
            for position, operation in enumerate(operations):
                before = state.clone()
                operation.state_forwards(self.migration.app_label, state)
                if not self.progress.is_done(position):
                    self._operation(position, operation, before, state, editor)
        with transaction.atomic(using=self.connection.alias):
            record: Any = self.executor.record_migration  # another signature from Django 6.0 on
            if django.VERSION >= (6, 0):
                record(self.migration.app_label, self.migration.name)
            else:
                record(self.migration)
            self.progress.rows.delete()
        return state

    def _operation(
        self, position: int, operation: Operation, before: ProjectState, after: ProjectState, editor: Any
    ) -> None:
        on_data, whole = acts_on_data(operation), self._is_one_transaction(operation)
        begun = self.progress.is_begun(position)
        if on_data and ((begun and not whole) or (self.found >= 0 and not begun)):
            if not self.interrupted:
                raise Refusal(self._half_data(position, operation, begun=begun), exit_code=1)
            choice, self.interrupted = self.interrupted, ""
            if choice == "done":
                self.progress.begin(position)
                self.progress.finish(position)
                return
        self.progress.begin(position)
        watch = _Watch(self.connection, skips=not on_data, ours=begun)

        def act() -> None:
            with self.connection.execute_wrapper(watch):
                operation.database_forwards(self.migration.app_label, editor, before, after)
                for sql in editor.deferred_sql:
                    editor.execute(sql, params=None)
                editor.deferred_sql.clear()

        try:
            if whole:
                with transaction.atomic(using=self.connection.alias):
                    act()
                    self.progress.finish(position)
            else:
                act()
                self.progress.finish(position)
        except Exception as error:
            if not begun and (whole or not (watch.wrote or watch.evident)):
                self.progress.forget(position)
            if sqlstate(error) in _MEETS_ANOTHER_SCHEMA and not on_data:
                raise Refusal(self._half_schema(position, operation, error), exit_code=1) from error
            raise
        if watch.evident and not begun:
            self.found = max(self.found, position)

    def _is_one_transaction(self, operation: Operation) -> bool:
        """It can share a transaction with the record of its end, and loses nothing by that."""
        if not acts_on_data(operation):
            return self.connection.vendor == "sqlite"  # there, a table is changed by copying it
        if isinstance(operation, RunSQL) and isinstance(operation.sql, str):
            # PostgreSQL runs a script without BEGIN as one transaction anyway.
            kinds = statement_kinds(operation.sql)
            return kinds <= {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "SelectStmt"}
        return bool(operation.atomic)

    def _look_ahead(self, state: ProjectState) -> int:
        """The last operation whose effect is there already; -1 for none. Nothing is run."""
        if self.connection.vendor != "postgresql":
            return -1
        self.connection.ensure_connection()
        key = (self.migration.app_label, self.migration.name)
        collected = collect(key, self.migration, state, self.connection.alias)
        with self.connection.connection.cursor() as cursor:
            there = [
                one.position
                for one in collected.statements
                if any(effect.kind in EVIDENCE for effect in one.effects)
                and is_there(cursor, list(one.effects), ours=False)
            ]
        return max(there, default=-1)

    def _half_data(self, position: int, operation: Operation, *, begun: bool) -> Any:
        if begun:
            why = "an earlier run was interrupted in it"
        else:
            there = self.migration.operations[self.found]
            why = f"there is no record, but operation {self.found + 1} ({there.describe()}) is there"
        return HALF_DATA(why=why, **self._which(position, operation))

    def _half_schema(self, position: int, operation: Operation, error: Exception) -> Any:
        return HALF_SCHEMA(
            problem=database_text(error),
            app=self.migration.app_label,
            name=self.migration.name,
            **self._which(position, operation),
        )

    def _which(self, position: int, operation: Operation) -> dict[str, Any]:
        return {
            "number": position + 1,
            "count": len(self.migration.operations),
            "operation": operation.describe(),
            "done": f"operations 1 to {position} are done" if position else "nothing before it",
            "place": place((self.migration.app_label, self.migration.name)),
        }


def acts_on_data(operation: Operation) -> bool:
    """What it does cannot be seen in the schema: whether it ran, only its record can tell."""
    for one in flattened([operation]):
        if isinstance(one, RunSQL):
            texts = [one.sql] if isinstance(one.sql, str) else [str(part) for part in one.sql]
            found = [effect.kind for text in texts for effect in effects(text)]
            is_empty = not any(found) and not any(statement_count(text) for text in texts)
            if not is_empty and not (found and set(found) <= REPEATABLE | VISIBLE):
                return True
        elif isinstance(one, RunPython) or not one.reduces_to_sql:
            return True
    return False
