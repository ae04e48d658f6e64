"""How far a migration that is not one transaction has come, kept where Django keeps its own records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder

from ..sql.effects import effects
from .presence import is_evidence, is_there


class Progress:
    """The rows of one migration: `NAME:POSITION`, or `NAME:back:POSITION` while it is taken back."""

    def __init__(self, recorder: MigrationRecorder, migration: Migration, *, back: bool) -> None:
        self.recorder = recorder
        self.app, self.name = migration.app_label, migration.name
        self.rows = recorder.migration_qs.filter(app=self.app, name__startswith=f"{self.name}:")
        self.prefix = f"{self.name}:back" if back else self.name
        self.names = {
            name
            for name in self.rows.values_list("name", flat=True)
            if name.startswith(f"{self.name}:back:") is back
        }

    def is_begun(self, position: int) -> bool:
        """A run has begun the operation, and none has said that it is finished, unless `is_done`."""
        return f"{self.prefix}:{position}" in self.names

    def is_done(self, position: int) -> bool:
        """The operation is finished."""
        return f"{self.prefix}:{position}:done" in self.names

    def begin(self, position: int) -> None:
        """Before its first statement."""
        if not self.is_begun(position):
            self.recorder.record_applied(self.app, f"{self.prefix}:{position}")
            self.names.add(f"{self.prefix}:{position}")

    def finish(self, position: int) -> None:
        """After its last statement, in its transaction where it is one."""
        self.recorder.record_applied(self.app, f"{self.prefix}:{position}:done")

    def forget(self, position: int) -> None:
        """It has changed nothing."""
        with suppress(DatabaseError, InterfaceError):  # a lost connection: it stays begun
            self.recorder.record_unapplied(self.app, f"{self.prefix}:{position}")


class Watch:
    """Leaves out statements whose effect is there, and sees whether anything was written."""

    def __init__(self, connection: BaseDatabaseWrapper, *, skips: bool, ours: bool) -> None:
        self.connection, self.ours = connection, ours
        self.skips = skips and connection.vendor == "postgresql"
        self.wrote = False
        self.evident = False

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        """Wrap a statement (see Django's `execute_wrapper`)."""
        if self.skips:
            with self.connection.connection.cursor() as cursor:
                found = effects(str(sql))
                if is_there(cursor, found, ours=self.ours):
                    self.evident = self.evident or any(is_evidence(effect) for effect in found)
                    return None
        result = execute(sql, params, many, context)
        self.wrote = self.wrote or not str(sql).lstrip().upper().startswith(("SELECT", "SHOW", "SET "))
        return result
