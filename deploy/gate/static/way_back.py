"""What it would take to undo each migration, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation

from ..graph.offline import flattened
from ..graph.plan import MigrationKey, place


@dataclass(frozen=True, slots=True)
class WayBack:
    """How a migration is undone, and what that does not bring back.

    `how` is "reverse" (all comes back), "reverse, data lost" (the schema does, some data does not) or
    "restore" (Django cannot reverse it as it is written: only the backup leads back).
    """

    migration: str
    how: str
    takes: str

    def as_dict(self) -> dict[str, str]:
        """A row of the report's table."""
        return {"migration": self.migration, "way back": self.how, "what it takes": self.takes}


def way_back(key: MigrationKey, migration: Migration) -> WayBack:
    """Judge by the operations alone; the rehearsal tries it."""
    parts = list(flattened(migration.operations))
    missing = [_needs(one) for one in parts if not one.reversible]
    if missing:
        return WayBack(place(key), "restore", "; ".join(dict.fromkeys(missing)))
    lost = [text for one in parts for text in _lost(one, migration.app_label)]
    if lost:
        return WayBack(place(key), "reverse, data lost", "; ".join(dict.fromkeys(lost)))
    return WayBack(place(key), "reverse", f"python manage.py migrate {key[0]} {_before(key, migration)}")


def _needs(operation: Operation) -> str:
    if isinstance(operation, operations.RunPython):
        name = getattr(operation.code, "__name__", "its function")
        return f"write reverse_code for {name}, or the backup"
    if isinstance(operation, operations.RunSQL):
        return "write reverse_sql, or the backup"
    return f"{type(operation).__name__} has no reverse: the backup"


def _lost(operation: Operation, app_label: str) -> Iterator[str]:
    if isinstance(operation, operations.DeleteModel):
        yield f"the rows of {app_label}.{operation.name} are only in the backup"
    elif isinstance(operation, operations.RemoveField):
        yield f"the values of {app_label}.{operation.model_name}.{operation.name} are only in the backup"
    elif isinstance(operation, operations.RunPython) and operation.reverse_code is operations.RunPython.noop:
        name = getattr(operation.code, "__name__", "its function")
        yield f"what {name} changed stays changed"
    elif isinstance(operation, operations.RunSQL) and _is_noop(operation):
        yield "what its SQL changed stays changed"


def _is_noop(operation: operations.RunSQL) -> bool:
    return operation.sql != operations.RunSQL.noop and not operation.reverse_sql


def _before(key: MigrationKey, migration: Migration) -> str:
    """The migration of the same app that `migrate` goes back to."""
    parents = [name for app_label, name in migration.dependencies if app_label == key[0]]
    return parents[0] if parents else "zero"
