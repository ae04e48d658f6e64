"""What a migration's statements lock, rewrite or destroy on tables that are already in use.

Lock levels are those of https://www.postgresql.org/docs/current/explicit-locking.html; a table that the same
run creates is exempt: nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.migrations.operations import RunPython, RunSQL

from deploy.reporting.findings import Finding, Level

from . import advice
from . import findings as known
from .catalog import Catalog
from .compat import rewrites
from .effect import Effect
from .offline import Collected, Statement, flattened
from .plan import place


def lock_findings(collected: Collected, catalog: Catalog, vendor: str) -> list[Finding]:
    """The findings of one migration; `catalog` is the schema before it, and is moved over it (in place)."""
    where = place(collected.key)
    found: list[Finding] = []
    added: set[tuple[str, str]] = set()
    altered: set[str] = set()
    for statement in collected.statements:
        for effect in statement.effects:
            if vendor == "postgresql" and not catalog.is_new(effect.table):
                found += _locks(collected, statement, effect, catalog, added, altered, where)
            found += _everywhere(collected, statement, effect, where, vendor)
            if effect.kind in {"add_fk", "add_check", "add_not_null"} and not effect.valid:
                added.add((effect.table, effect.name))
            if effect.kind.startswith(("add_", "set_", "drop_")) and effect.table:
                altered.add(effect.table)
            catalog.apply(effect)
    return [*dict.fromkeys(found), *_operations(collected, catalog, where)]


def _locks(
    collected: Collected,
    statement: Statement,
    effect: Effect,
    catalog: Catalog,
    added: set[tuple[str, str]],
    altered: set[str],
    where: str,
) -> Iterator[Finding]:
    operation, table, column = statement.operation, effect.table, effect.column
    kind = effect.kind
    if kind == "create_index" and not effect.concurrently:
        held = (
            ", under the ACCESS EXCLUSIVE lock that this migration already holds" if table in altered else ""
        )
        code = advice.concurrently(operation, effect)
        yield known.INDEX_BLOCKS(name=effect.name, table=table, held=held, code=code, place=where)
    elif kind == "add_fk" and effect.valid:
        definition = f"FOREIGN KEY ({', '.join(effect.columns)}) REFERENCES {effect.new}"
        code = advice.not_valid(effect, definition)
        yield known.FOREIGN_KEY_SCANS(table=table, column=column, target=effect.new, code=code, place=where)
    elif kind == "add_check" and effect.valid:
        code = advice.not_valid(effect, "CHECK (…)")
        yield known.CHECK_SCANS(name=effect.name or column, table=table, code=code, place=where)
    elif kind == "set_not_null" and not _had_check(catalog, effect):
        code = advice.not_valid(effect, f"CHECK ({column} IS NOT NULL)")
        yield known.NOT_NULL_SCANS(table=table, column=column, code=code, place=where)
    elif kind == "add_not_null" and effect.valid:
        code = advice.not_valid(effect, f"NOT NULL {column}")
        yield known.NOT_NULL_SCANS(table=table, column=column, code=code, place=where)
    elif kind in {"add_unique", "add_primary_key", "add_exclude"} and not effect.using_index:
        what = {"add_unique": "unique constraint", "add_primary_key": "primary key"}.get(
            kind, "exclusion constraint"
        )
        columns, code = ", ".join((*effect.columns, *effect.mentions)), advice.unique_using_index(effect)
        yield known.UNIQUE_BUILDS(what=what, table=table, columns=columns, code=code, place=where)
    elif kind == "set_type":
        yield from _type_change(statement, effect, catalog, where)
    elif kind == "add_column":
        yield from _new_column(effect, where)
    elif kind in {"update", "delete"} and not effect.batched:
        yield known.UNBATCHED(verb=effect.verb, table=table, code=advice.batches(table), place=where)
    elif kind == "validate" and collected.migration.atomic and (table, effect.name) in added:
        yield known.VALIDATED_TOO_SOON(name=effect.name, table=table, place=where)
    elif kind in _MAINTENANCE and not effect.concurrently:
        yield known.MAINTENANCE(
            verb=effect.verb,
            lock=effect.new or ("SHARE" if kind == "reindex" else "ACCESS EXCLUSIVE"),
            table=table,
            hint=_MAINTENANCE[kind],
            place=where,
            level="error" if kind == "vacuum_full" else None,
        )


_MAINTENANCE = {
    "lock": "Take LOCK TABLE out: every statement takes the lock that it needs.",
    "cluster": "pg_repack --table NAME   # rewrites the table beside the traffic",
    "vacuum_full": "pg_repack --table NAME   # rewrites the table beside the traffic",
    "reindex": "REINDEX INDEX CONCURRENTLY NAME; REFRESH MATERIALIZED VIEW CONCURRENTLY NAME;",
    "detach": "ALTER TABLE … DETACH PARTITION … CONCURRENTLY;",
}


def _type_change(statement: Statement, effect: Effect, catalog: Catalog, where: str) -> Iterator[Finding]:
    table = catalog.tables.get(effect.table)
    column = table.columns.get(effect.column) if table else None
    old = column.type if column else "a type that is not known"
    if rewrites(old, effect.new):
        name = getattr(statement.operation, "name", effect.column)
        model = getattr(statement.operation, "model_name", effect.table)
        field = getattr(statement.operation, "field", None)
        new = advice.varied(field, null=True) if field is not None else f"…({effect.new})"
        code = f"migrations.AddField({model!r}, '{name}_new', {new}),"
        yield known.TYPE_REWRITES(
            table=effect.table, column=effect.column, old=old, new=effect.new, code=code, place=where
        )


def _new_column(effect: Effect, where: str) -> Iterator[Finding]:
    what = ""
    if effect.generated == "stored":
        what = "a stored generated value"
    elif effect.identity:
        what = "an identity (a sequence's next value in every row)"
    elif effect.volatile:
        what = f"the volatile default {effect.default}"
    if what:
        code = (
            f"migrations.RunSQL('ALTER TABLE {effect.table} ADD COLUMN {effect.column} {effect.new}'),\n"
            + (f"migrations.RunSQL('ALTER TABLE {effect.table} ALTER COLUMN {effect.column} SET DEFAULT "
               f"{effect.default}'),\n" if effect.default else "")
            + advice.batches(effect.table, effect.column)
        )  # fmt: skip
        yield known.COLUMN_REWRITES(
            table=effect.table, column=effect.column, what=what, code=code, place=where
        )
    if effect.new == "json":
        yield known.JSON_COLUMN(table=effect.table, column=effect.column, place=where)


def _had_check(catalog: Catalog, effect: Effect) -> bool:
    """An earlier migration of the run added a check over just this column, the safe way to SET NOT NULL."""
    table = catalog.tables.get(effect.table)
    if table is None:
        return False
    return any(one.kind == "add_check" and set(one.columns) <= {effect.column} for one in table.tightened)


def _everywhere(
    collected: Collected, statement: Statement, effect: Effect, where: str, vendor: str
) -> Iterator[Finding]:
    """What is wrong whatever the table holds."""
    # An operation's atomic = False does not end the migration's own transaction.
    atomic = collected.migration.atomic or bool(getattr(statement.operation, "atomic", None))
    if effect.concurrently and effect.kind != "detach" and atomic:
        yield known.CONCURRENTLY_IN_TRANSACTION(verb=effect.verb, place=where)
    if effect.kind == "truncate":
        yield known.DESTROYS(verb=effect.verb, place=where)
    if effect.kind == "transaction" and isinstance(statement.operation, RunSQL):
        level: Level = "error" if collected.migration.atomic else "warning"
        yield known.TRANSACTION_CONTROL(verb=effect.verb, place=where, level=level)
    if effect.kind == "gone":
        yield known.OBJECT_GONE(verb=effect.verb, place=where)
    if effect.kind == "unreadable":
        refused: Level = "error" if vendor == "postgresql" else "warning"
        yield known.UNREADABLE(problem=effect.new, verb=effect.verb, place=where, level=refused)
    if effect.kind == "opaque":
        yield known.OPAQUE(verb=effect.verb, place=where)
    if effect.kind == "no_limit":
        yield known.NO_LOCK_LIMIT(verb=effect.verb, place=where)


def _operations(collected: Collected, catalog: Catalog, where: str) -> Iterator[Finding]:
    parts = list(flattened(collected.migration.operations))
    for operation, problem in collected.unknown:
        yield known.NOT_JUDGED(operation=type(operation).__name__, problem=problem, place=where)
    for operation in parts:
        if not operation.reversible:
            kind = type(operation).__name__
            code = "migrations.RunPython(forwards, migrations.RunPython.noop),"
            if isinstance(operation, RunSQL):
                code = "migrations.RunSQL(sql, reverse_sql),   # or migrations.RunSQL.noop"
            yield known.NO_REVERSE(operation=kind, code=code, place=where)
    has_python = any(isinstance(one, RunPython) for one in parts)
    tables = sorted({e.table for e in collected.effects if e.kind not in {"update", "delete"} and e.table})
    if has_python and collected.migration.atomic and (in_use := [t for t in tables if not catalog.is_new(t)]):
        yield known.DATA_WITH_DDL(table=", ".join(in_use), place=where)
