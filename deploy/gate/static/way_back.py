"""What it would take to undo each migration, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation

from ..graph.offline import flattened
from ..graph.plan import MigrationKey, place
from ..sql.effects import effects


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
    """Judge by the operations and their SQL alone; the rehearsal tries it."""
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
    elif isinstance(operation, operations.RunSQL):
        taken = list(_taken_by_sql(operation.sql))
        yield from taken
        if not taken and _is_noop(operation):
            yield "what its SQL changed stays changed"


def _taken_by_sql(sql: object) -> Iterator[str]:
    """What statements take away that no reverse SQL can know; not from what they made themselves."""
    made: set[str] = set()
    for effect in effects(_script(sql)):
        if effect.kind == "create_table":
            made.add(effect.table)
        elif effect.table in made:
            continue
        elif effect.kind == "drop_column":
            yield f"the values of {effect.table}.{effect.column} are only in the backup"
        elif effect.kind in {"drop_table", "truncate"}:
            yield f"the rows of {effect.table or effect.name} are only in the backup"
        elif effect.kind == "delete":
            yield f"the rows that {effect.verb} takes from {effect.table} are only in the backup"


def _script(sql: object) -> str:
    """What RunSQL is given, a text or a list of texts and (text, parameters), as one script."""
    if isinstance(sql, str):
        return sql
    parts = sql if isinstance(sql, list | tuple) else ()
    return ";\n".join(str(one[0] if isinstance(one, list | tuple) else one).rstrip("; \n") for one in parts)


def _is_noop(operation: operations.RunSQL) -> bool:
    return operation.sql != operations.RunSQL.noop and not operation.reverse_sql


def _before(key: MigrationKey, migration: Migration) -> str:
    """The migration of the same app that `migrate` goes back to."""
    parents = [name for app_label, name in migration.dependencies if app_label == key[0]]
    return parents[0] if parents else "zero"
