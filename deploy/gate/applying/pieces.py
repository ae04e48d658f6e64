"""A migration that is not one transaction, operation by operation, so that a killed run can be gone on with.

What is done is kept where Django keeps it: beside the migration's own row in `django_migrations` to come,
`name:POSITION` says that an operation was begun, `name:POSITION:done` that it is finished. Django ignores the
names (none of its migrations can have a colon), and they go when the migration is recorded.
"""

from __future__ import annotations

from typing import Any, Literal

import django
from django.db import transaction
from django.db.migrations import Migration
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations import RunPython, RunSQL
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Refusal

from ..errors import database_text, sqlstate
from ..graph.offline import collect, flattened
from ..graph.plan import place
from ..run_findings import HALF_BACK, HALF_DATA, HALF_SCHEMA
from ..sql.effects import effects, parsed, statement_count, statement_kinds
from .presence import REPEATABLE, is_evidence, is_there, is_visible
from .progress import Progress, Watch

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


def take_back_in_pieces(
    executor: MigrationExecutor, state: ProjectState, migration: Migration
) -> ProjectState:
    """Take back a migration with `atomic = False`, or what is left of it; returns the state before it.

    Raises:
        Refusal: deploy.M058 as `apply_in_pieces`, M065 for an operation on data that was interrupted.
        IrreversibleError: before anything is changed.
    """
    return _Pieces(executor, migration, "", back=True).run_back(state)


def forget_finished(executor: MigrationExecutor) -> None:
    """Remove what is left of migrations that another tool has finished and recorded."""
    rows = executor.recorder.migration_qs.filter(name__contains=":")
    applied = set(executor.recorder.applied_migrations())
    for row in rows:
        if ":back:" not in row.name and (row.app, row.name.partition(":")[0]) in applied:
            row.delete()


class _Pieces:
    def __init__(
        self,
        executor: MigrationExecutor,
        migration: Migration,
        interrupted: Interrupted,
        *,
        back: bool = False,
    ) -> None:
        self.back = back
        self.executor, self.migration, self.interrupted = executor, migration, interrupted
        self.connection = executor.connection
        self.progress = Progress(executor.recorder, migration, back=back)
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

    def run_back(self, state: ProjectState) -> ProjectState:
        label = self.migration.app_label
        states = [state]
        for operation in self.migration.operations:
            if not operation.reversible:
                raise IrreversibleError(f"Operation {operation} in {self.migration} is not reversible")
            after = states[-1].clone()
            operation.state_forwards(label, after)
            states.append(after)
        with self.connection.schema_editor(atomic=False) as editor:
            for position, operation in reversed(list(enumerate(self.migration.operations))):
                if not self.progress.is_done(position):
                    self._operation(position, operation, states[position], states[position + 1], editor)
        with transaction.atomic(using=self.connection.alias):
            for app, name in (*self.migration.replaces, (label, self.migration.name)):
                self.executor.recorder.record_unapplied(app, name)
            self.progress.rows.delete()
        return state

    def _operation(
        self, position: int, operation: Operation, before: ProjectState, after: ProjectState, editor: Any
    ) -> None:
        on_data = acts_on_data(operation, back=self.back)
        whole = self._is_one_transaction(operation)
        begun = self.progress.is_begun(position)
        if on_data and ((begun and not whole) or (self.found >= 0 and not begun)):
            if self.back:
                raise Refusal(HALF_BACK(**self._which(position, operation)), exit_code=1)
            if not self.interrupted:
                raise Refusal(self._half_data(position, operation, begun=begun), exit_code=1)
            choice, self.interrupted = self.interrupted, ""
            if choice == "done":
                self.progress.begin(position)
                self.progress.finish(position)
                return
        self.progress.begin(position)
        watch = Watch(self.connection, skips=not on_data, ours=begun)

        def act() -> None:
            with self.connection.execute_wrapper(watch):
                if self.back:
                    operation.database_backwards(self.migration.app_label, editor, after, before)
                else:
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
        if not acts_on_data(operation, back=self.back):
            own = any(isinstance(one, RunSQL | RunPython) for one in flattened([operation]))
            # There, a table is changed by copying it; but a VACUUM or PRAGMA may want no transaction.
            return self.connection.vendor == "sqlite" and not own
        script = getattr(operation, "reverse_sql" if self.back else "sql", None)
        if isinstance(operation, RunSQL):
            # PostgreSQL runs a script without BEGIN as one transaction anyway; a list may as well be one.
            parts = [script] if isinstance(script, str) else list(script or ())
            texts = [part if isinstance(part, str) else str(part[0]) for part in parts]
            if any(parsed(text) is None for text in texts):  # another dialect's, such as a PRAGMA
                return False
            kinds = frozenset().union(*(statement_kinds(text) for text in texts))
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
                if any(is_evidence(effect) for effect in one.effects)
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
        count = len(self.migration.operations)
        if self.back:
            done = (
                f"operations {count} to {position + 2} are taken back"
                if position + 1 < count
                else "nothing else is"
            )
        else:
            done = f"operations 1 to {position} are done" if position else "nothing before it"
        return {
            "number": position + 1,
            "count": count,
            "operation": operation.describe(),
            "done": done,
            "place": place((self.migration.app_label, self.migration.name)),
        }


def acts_on_data(operation: Operation, *, back: bool = False) -> bool:
    """What it does cannot be seen in the schema: whether it ran, only its record can tell.

    `back`: what it does when it is taken back.
    """
    for one in flattened([operation]):
        if isinstance(one, RunSQL):
            sql = one.reverse_sql if back else one.sql
            texts = [sql] if isinstance(sql, str) else [str(part) for part in sql or ()]
            found = [effect for text in texts for effect in effects(text)]
            is_empty = not found and not any(statement_count(text) for text in texts)
            shows = all(effect.kind in REPEATABLE or is_visible(effect) for effect in found)
            if not is_empty and not (found and shows):
                return True
        elif isinstance(one, RunPython):
            if (one.reverse_code if back else one.code) is not RunPython.noop:
                return True
        elif not one.reduces_to_sql:
            return True
    return False
