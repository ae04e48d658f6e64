"""What a statement locks, scans or rewrites on a table that is in use.

Lock levels are those of https://www.postgresql.org/docs/current/explicit-locking.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.reporting.findings import Finding

from .. import findings_of_locks as locks
from .. import findings_of_statements as said
from ..graph.offline import Statement
from ..sql.effect import Effect
from . import advice, type_changes
from .catalog import Catalog
from .dependents import proves_not_null


@dataclass
class Transaction:
    """What the statements of one transaction have taken so far: locks stay until its end.

    `altering` are the operations (by `id`) whose ALTER TABLE takes the strongest lock anyway.
    """

    altering: frozenset[int] = frozenset()
    held: dict[str, str] = field(default_factory=dict)
    unproved: set[tuple[str, str]] = field(default_factory=set)

    def see(self, effect: Effect) -> None:
        """Remember a statement on a table that others use."""
        if effect.kind in {"add_fk", "add_check", "add_not_null"} and not effect.valid:
            self.unproved.add((effect.table, effect.name))
        if effect.table and stops_writers(effect):
            self.held.setdefault(effect.table, effect.verb or "ALTER TABLE")
            if effect.kind == "add_fk" and effect.new:
                self.held.setdefault(effect.new, "FOREIGN KEY")


def stops_writers(effect: Effect) -> bool:
    """It takes at least SHARE on its table, for however short a time."""
    if effect.concurrently:
        return False
    altering = effect.kind.startswith(("add_", "set_", "drop_", "rename_"))
    return altering or effect.kind in {"create_index", "truncate", "lock", "rewrite", "cluster", "reindex"}


def of_effect(
    statement: Statement, effect: Effect, catalog: Catalog, transaction: Transaction, where: str
) -> Iterator[Finding]:
    """The findings of one effect on a table in use; `catalog` is the schema before it."""
    operation, table, column = statement.operation, effect.table, effect.column
    kind = effect.kind
    if kind == "create_index" and not (effect.concurrently or effect.only_parent):
        held = ", under the lock that this migration already holds" if table in transaction.held else ""
        code = advice.concurrently(operation, effect)
        yield locks.INDEX_BLOCKS(name=effect.name, table=table, held=held, code=code, place=where)
    elif kind == "drop_index" and not effect.concurrently:
        owner = catalog.table_of_index(effect.name)
        if (owner is None or not owner.created) and id(operation) not in transaction.altering:
            code = advice.drop_concurrently(operation, effect)
            yield locks.INDEX_DROP_BLOCKS(name=effect.name, code=code, place=where)
    elif kind == "add_fk" and effect.valid:
        definition = f"FOREIGN KEY ({', '.join(effect.columns)}) REFERENCES {effect.new}"
        code = advice.not_valid(effect, definition, operation)
        yield locks.FOREIGN_KEY_SCANS(table=table, column=column, target=effect.new, code=code, place=where)
    elif kind == "add_check" and effect.valid:
        code = advice.not_valid(effect, f"CHECK ({effect.new})", operation)
        name = effect.name or f"of {column or ', '.join(effect.columns)}"
        yield locks.CHECK_SCANS(name=name, table=table, code=code, place=where)
    elif kind in {"set_not_null", "add_not_null"} or (kind == "add_primary_key" and effect.using_index):
        yield from _not_null(effect, catalog, where)
    elif kind in {"add_unique", "add_primary_key", "add_exclude"} and not effect.using_index:
        what = {"add_unique": "unique constraint", "add_primary_key": "primary key"}.get(
            kind, "exclusion constraint"
        )
        columns = ", ".join((*effect.columns, *effect.mentions))
        made = advice.unique_using_index(effect, operation)
        code = advice.new_table(effect) if kind == "add_exclude" else made
        yield locks.UNIQUE_BUILDS(what=what, table=table, columns=columns, code=code, place=where)
    elif kind == "set_type":
        yield from _type_change(statement, effect, catalog, where)
    elif kind == "add_column":
        yield from _new_column(effect, catalog, where)
    elif kind in {"update", "delete"} and not _is_bounded(effect, catalog):
        yield locks.UNBATCHED(verb=effect.verb, table=table, code=advice.batches(table), place=where)
    elif kind == "validate" and (table, effect.name) in transaction.unproved:
        yield locks.VALIDATED_TOO_SOON(name=effect.name, table=table, place=where)
    elif kind in {"validate", "insert"} and transaction.held and not effect.batched:
        locked, verb = next(iter(transaction.held.items()))
        long = f"{effect.verb} {effect.name}".strip() if kind == "validate" else f"{effect.verb} into {table}"
        yield locks.HELD_MEANWHILE(long=long, verb=verb, table=locked, place=where)
    elif kind == "attach":
        child = catalog.tables.get(effect.name)
        if child is None or not (child.created or any(one.valid for one in child.rules)):
            yield locks.MAINTENANCE(
                verb=f"{effect.verb} {effect.name}",
                lock="ACCESS EXCLUSIVE",
                table=effect.name,
                hint="Add a CHECK that says the partition's bounds NOT VALID, validate it in a migration of "
                "its own, then attach: the scan is skipped.",
                place=where,
            )
    elif kind in _MAINTENANCE and not effect.concurrently:
        yield locks.MAINTENANCE(
            verb=effect.verb,
            lock=effect.new or ("SHARE" if kind == "reindex" else "ACCESS EXCLUSIVE"),
            table=table or effect.name,
            hint=_MAINTENANCE[kind],
            place=where,
            level="error" if kind == "vacuum_full" else None,
        )


_MAINTENANCE = {
    "lock": "Take LOCK TABLE out: every statement takes the lock that it needs.",
    "cluster": "pg_repack --table NAME   # rewrites the table beside the traffic",
    "vacuum_full": "pg_repack --table NAME   # rewrites the table beside the traffic",
    "rewrite": "Make a new table or column as it should be, write both, move the rows in batches, then swap.",
    "reindex": "REINDEX INDEX CONCURRENTLY NAME; REFRESH MATERIALIZED VIEW CONCURRENTLY NAME;",
    "detach": "ALTER TABLE … DETACH PARTITION … CONCURRENTLY;",
}


def _not_null(effect: Effect, catalog: Catalog, where: str) -> Iterator[Finding]:
    """SET NOT NULL scans, unless the column has it already or a valid check proves it."""
    table = catalog.tables.get(effect.table)
    columns: tuple[str, ...] = (effect.column,)
    if effect.kind == "add_primary_key":
        found = next((one for one in table.indexes if one.name == effect.new), None) if table else None
        columns = found.columns if found else ()
    if effect.kind == "add_not_null" and not effect.valid:
        return
    for name in columns:
        there = table.columns.get(name) if table else None
        declared = there is not None and not there.null and not _is_unproved(table, name)
        if declared or (table is not None and proves_not_null(table.rules, name)):
            continue
        code = advice.not_valid(effect, f"CHECK ({name} IS NOT NULL)")
        yield locks.NOT_NULL_SCANS(table=effect.table, column=name, code=code, place=where)


def _is_unproved(table: object, column: str) -> bool:
    rules = getattr(table, "rules", ())
    return any(not one.valid and one.columns == (column,) for one in rules)


def _type_change(statement: Statement, effect: Effect, catalog: Catalog, where: str) -> Iterator[Finding]:
    does, what = type_changes.cost(catalog, effect)
    if not does:
        return
    name = getattr(statement.operation, "name", effect.column)
    model = getattr(statement.operation, "model_name", effect.table)
    field_ = getattr(statement.operation, "field", None)
    new = advice.varied(field_, null=True) if field_ is not None else f"…({effect.new})"
    code = f"migrations.AddField({model!r}, '{name}_new', {new}),"
    table, column = effect.table, effect.column
    if does == "rewrite":
        yield locks.TYPE_REWRITES(
            table=table, column=column, old=what, new=effect.new, code=code, place=where
        )
    else:
        again = f"proves the check {what} again" if does == "check" else f"builds the index {what} again"
        yield locks.TYPE_LOOKS_AGAIN(
            table=table, column=column, new=effect.new, again=again, code=code, place=where
        )


def _new_column(effect: Effect, catalog: Catalog, where: str) -> Iterator[Finding]:
    what = ""
    if effect.generated == "stored":
        what = "a stored generated value"
    elif effect.identity:
        what = "an identity (a sequence's next value in every row)"
    elif effect.volatile:
        what = f"the volatile default {effect.default}"
    elif effect.new in catalog.domains:
        what = f"the domain {effect.new}, whose constraint every row must pass"
    if what:
        code = (
            f"migrations.RunSQL('ALTER TABLE {effect.table} ADD COLUMN {effect.column} {effect.new}'),\n"
            + (f"migrations.RunSQL('ALTER TABLE {effect.table} ALTER COLUMN {effect.column} SET DEFAULT "
               f"{effect.default}'),\n" if effect.default else "")
            + advice.batches(effect.table, effect.column)
        )  # fmt: skip
        yield locks.COLUMN_REWRITES(
            table=effect.table, column=effect.column, what=what, code=code, place=where
        )
    if effect.new == "json":
        yield said.JSON_COLUMN(table=effect.table, column=effect.column, place=where)


def _is_bounded(effect: Effect, catalog: Catalog) -> bool:
    """It says LIMIT or BETWEEN, or names rows by the values of something unique."""
    if effect.batched:
        return True
    table = catalog.tables.get(effect.table)
    held = set(effect.columns)
    unique = table.unique if table is not None and table.unique else {frozenset({"id"})}
    return any(columns <= held for columns in unique)
