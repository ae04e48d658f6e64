"""What SQL does that no model shows: dropped tables that the code has left, sequences and limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.migrations import operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState
from django.db.models import ManyToManyField

from deploy.reporting.findings import Finding, FindingType, Level

from .. import data_examples
from ..graph.offline import Collected, Statement, flattened
from ..graph.sparse import tables
from ..sql.effect import Effect
from .catalog import Catalog, bare

ROWS_GO = FindingType(
    "deploy.M126",
    "warning",
    "DROP TABLE {table} takes rows away that no reverse migration brings back, and {whose}.",
    "See who still uses it, and keep a verified backup: python manage.py backupdb",
    why="What the models do not show, a report, a trigger or another program may still read.",
    depends="Whether a model has had the table once (then it is information), and who else uses it. Not said "
    "of a table that the same migration makes.",
    lock="ACCESS EXCLUSIVE on the table, briefly.",
    source="https://www.postgresql.org/docs/current/sql-droptable.html",
    danger=data_examples.ROWS_GO,
)
COUNTS_ANEW = FindingType(
    "deploy.M127",
    "warning",
    "{verb} sets what the next INSERT of either release gets: a value that is taken is refused.",
    "Set it to more than the highest value in use: SELECT setval('…', (SELECT max(id) FROM …))",
    why="A sequence does not look at its table: duplicate key violates unique constraint.",
    depends="The value. For setval, which mostly goes forward, it is information.",
    source="https://www.postgresql.org/docs/current/functions-sequence.html",
    danger=data_examples.COUNTS_ANEW,
)
NO_TIME_LIMIT = FindingType(
    "deploy.M128",
    "info",
    "{verb} holds for all that follows on the connection, not only for its own migration.",
    "SET LOCAL statement_timeout = 0   -- in an atomic migration: until its end",
    source="https://www.postgresql.org/docs/current/sql-set.html",
)


def of_effect(
    collected: Collected,
    statement: Statement,
    effect: Effect,
    catalog: Catalog,
    loader: MigrationLoader | None,
    where: str,
) -> Iterator[Finding]:
    """The findings of one effect; `catalog` is the schema before it, without what no model has."""
    by_django = isinstance(statement.operation, operations.DeleteModel | operations.RemoveField)
    if effect.kind == "drop_table" and effect.table not in catalog.tables and not by_django:
        made = any(one.kind == "create_table" and one.table == effect.table for one in collected.effects)
        named_later = any(one.kind == "opaque" and one.table == effect.table for one in statement.effects)
        if not made and not named_later:
            left = loader is not None and effect.table in _tables_of_all_times(loader)
            whose = "its model left the code before" if left else "no model has ever had it"
            level: Level = "info" if left else "warning"
            yield ROWS_GO(table=effect.table, whose=whose, place=where, level=level)
    if effect.kind in {"restart", "setval"}:
        made = any(one.kind == "create_sequence" and one.name == effect.name for one in collected.effects)
        if not made:
            level = "info" if effect.kind == "setval" else "warning"
            yield COUNTS_ANEW(verb=effect.verb, place=where, level=level)
    if effect.kind == "no_time_limit":
        yield NO_TIME_LIMIT(verb=effect.verb, place=where)


def _tables_of_all_times(loader: MigrationLoader) -> set[str]:
    """Of every model that a migration of the project or its packages made, under every name that it got."""
    found: set[str] = set()
    for (app, _), migration in loader.disk_migrations.items():
        for one in _all(migration.operations):
            if isinstance(one, operations.CreateModel):
                found.update(tables(ModelState(app, one.name, one.fields, dict(one.options))))
            elif isinstance(one, operations.RenameModel):
                found.add(f"{app}_{one.new_name_lower}")
            elif isinstance(one, operations.AlterModelTable) and one.table:
                found.add(one.table)
            elif isinstance(one, operations.AddField) and isinstance(one.field, ManyToManyField):
                found.add(getattr(one.field, "db_table", None) or f"{app}_{one.model_name_lower}_{one.name}")
    return {bare(name) for name in found}


def _all(listed: Sequence[Operation]) -> Iterator[Operation]:
    for one in listed:
        if isinstance(one, operations.SeparateDatabaseAndState):
            yield from _all(one.state_operations)
        yield from flattened([one])
