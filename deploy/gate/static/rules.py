"""What a migration's statements lock, rewrite or destroy, and what its operations leave undone.

A table that the same run creates is exempt from the rules about locks: nobody waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from django.db.migrations.operations import RunPython, RunSQL

from deploy.reporting.findings import Finding, Level

from .. import findings_of_locks as locks
from .. import findings_of_statements as said
from ..graph.offline import Collected, Statement, flattened
from ..graph.plan import place
from ..graph.project_sql import ProjectSQL
from ..graph.source import place_in, place_of
from ..sql.effect import Effect
from ..sql.effects import effects, statement_count, statement_kinds
from ..sql.outside import reaching_outside
from . import lock_rules, unseen
from .catalog import Catalog
from .lock_rules import Transaction

# PostgreSQL's NAMEDATALEN is 64, with the zero byte at the end.
LONGEST_NAME_BYTES = 63
# What is easily undone by hand or needs no undoing: RunSQL without a reverse is no more than a nuisance then.
_HARMLESS = frozenset({
    "create_index", "validate", "add_check", "add_fk", "add_not_null", "add_unique", "add_column",
    "set_default", "create_table", "reindex", "vacuum", "other", "create_sequence", "setval", "no_time_limit",
})  # fmt: skip


def lock_findings(
    collected: Collected,
    catalog: Catalog,
    vendor: str,
    server_version: int = 0,
    project: ProjectSQL | None = None,
) -> list[Finding]:
    """The findings of one migration; `catalog` is the schema before it, and is moved over it (in place).

    `server_version` is PostgreSQL's number (150003 for 15.3), or 0 where it is not known.
    `project` is searched for what statements build on; without it nothing is taken to be there.
    """
    found: list[Finding] = []
    altering = _altering(collected)
    transaction = Transaction(altering)
    for statement in collected.statements:
        where = place_of(collected.key, statement.position)
        if not collected.migration.atomic:
            transaction = Transaction(altering)  # a script is one, whatever its migration is
        for effect in statement.effects:
            # Who attaches a partition stops those who use the partition, not the table that gets it.
            is_new = catalog.is_new(effect.name if effect.kind == "attach" else effect.table)
            if vendor == "postgresql" and not is_new:
                settled = _settled(effect, project)
                found += lock_rules.of_effect(statement, settled, catalog, transaction, where)
                transaction.see(effect)
            if vendor == "postgresql":
                found += _of_version(effect, server_version, where)
            replaces = effect.replaces and (project is None or project.names(effect.name))
            is_new = is_new or (effect.replaces and not replaces)
            if not catalog.is_new(effect.table):
                loader = project.loader if project is not None else None
                found += unseen.of_effect(collected, statement, effect, catalog, loader, where)
            found += _everywhere(collected, statement, effect, where, vendor, is_new=is_new)
            catalog.apply(effect)
        found += _names(statement, where)
        if vendor == "postgresql":
            found += [said.REACHES_OUTSIDE(verb=one, place=where) for one in reaching_outside(statement.sql)]
    return [*dict.fromkeys(found), *_operations(collected, catalog, place(collected.key))]


def _altering(collected: Collected) -> frozenset[int]:
    """The operations (their `id`) that change a column, and with it what Django keeps for it."""
    return frozenset(
        id(statement.operation)
        for statement in collected.statements
        if not isinstance(statement.operation, RunSQL)
        and any(effect.kind in {"set_type", "drop_column"} for effect in statement.effects)
    )


def _settled(effect: Effect, project: ProjectSQL | None) -> Effect:
    """With the project's own functions looked up: those in a default that differ from row to row."""
    unstable = [name for name in effect.calls if project is None or not project.is_stable(name)]
    return replace(effect, volatile=effect.volatile or bool(unstable)) if effect.calls else effect


def _everywhere(
    collected: Collected, statement: Statement, effect: Effect, where: str, vendor: str, *, is_new: bool
) -> Iterator[Finding]:
    """What is wrong whatever the table holds."""
    if why := _needs_no_transaction(effect) and _transaction(collected, statement):
        yield said.CONCURRENTLY_IN_TRANSACTION(verb=_spoken(effect), why=why, place=where)
    if effect.kind == "truncate" and not is_new:
        yield said.DESTROYS(verb=effect.verb, place=where)
    if effect.kind == "transaction" and isinstance(statement.operation, RunSQL):
        level: Level = "error" if collected.migration.atomic else "warning"
        yield said.TRANSACTION_CONTROL(verb=effect.verb, place=where, level=level)
    if effect.kind == "gone":
        yield said.OBJECT_GONE(verb=effect.verb, place=where)
    if effect.kind == "unreadable":
        refused: Level = "error" if vendor == "postgresql" else "warning"
        yield said.UNREADABLE(problem=effect.new, verb=effect.verb, place=where, level=refused)
    if effect.kind == "opaque" and not is_new:
        # What these do shows when the old code's statements run on a copy; the others depend on who asks.
        shown: Level = "info" if effect.replaces or effect.verb.startswith("CREATE TRIGGER") else "warning"
        yield said.OPAQUE(verb=effect.verb, place=where, level=shown)
    if effect.kind == "no_limit":
        yield locks.NO_LOCK_LIMIT(verb=effect.verb, place=where)


def _needs_no_transaction(effect: Effect) -> bool:
    whole = effect.table == "every table" and effect.kind in {"cluster", "reindex"}
    database = effect.kind == "truncate" and effect.verb.startswith("DROP DATABASE")
    return effect.concurrently or effect.kind in {"vacuum", "vacuum_full"} or whole or database


def _transaction(collected: Collected, statement: Statement) -> str:
    """Why the statement would run in a transaction; empty when it would not."""
    # An operation's atomic = False does not end the migration's own transaction.
    if collected.migration.atomic or bool(getattr(statement.operation, "atomic", None)):
        return "this migration is atomic"
    if statement_count(statement.sql) > 1:
        return "PostgreSQL runs a script of several statements as one"
    return ""


def _spoken(effect: Effect) -> str:
    return f"{effect.verb} CONCURRENTLY" if effect.concurrently else effect.verb


def _of_version(effect: Effect, version: int, where: str) -> Iterator[Finding]:
    """What the server's version makes of it; nothing where the version is not known."""
    if not version:
        return
    shown = f"{version // 10000}.{version % 10000}"
    if effect.concurrently and effect.kind in {"create_index", "reindex"} and 140000 <= version < 140004:
        yield said.CORRUPTS(verb=_spoken(effect), version=shown, place=where)
    what = ""
    if effect.kind == "add_not_null":
        what = "A NOT NULL constraint with a name or NOT VALID"
    elif effect.kind == "add_column" and effect.generated == "virtual":
        what = "A virtual generated column"
    if what and version < 180000:
        yield said.NEEDS_NEWER(what=what, needed=18, version=shown, place=where)


def _names(statement: Statement, where: str) -> Iterator[Finding]:
    """Names that PostgreSQL cuts off. Django shortens its own; those in RunSQL are as they were written."""
    for name in dict.fromkeys(re.findall(r"[^\W\d]\w{20,}", statement.sql)):
        if len(name.encode()) > LONGEST_NAME_BYTES and _is_name(name, statement.sql):
            size = len(name.encode())
            yield said.NAME_TOO_LONG(name=name, bytes=size, most=LONGEST_NAME_BYTES, place=where)


def _is_name(word: str, sql: str) -> bool:
    from pglast.parser import ParseError, scan

    try:
        tokens = scan(sql)
    except ParseError:  # not PostgreSQL's SQL: M033 says so
        return False
    text = sql.encode()
    names = (text[one.start : one.end + 1] for one in tokens if one.name in {"IDENT", "UIDENT"})
    return any(name.decode().strip('"') == word for name in names)


def _operations(collected: Collected, catalog: Catalog, where: str) -> Iterator[Finding]:
    parts = list(flattened(collected.migration.operations))
    for operation, problem in collected.unknown:
        at = place_in(collected.key, collected.migration, operation)
        yield said.NOT_JUDGED(operation=type(operation).__name__, problem=problem, place=at)
    for operation in parts:
        if not operation.reversible:
            kind = type(operation).__name__
            level: Level = "warning"
            code = "migrations.RunPython(forwards, migrations.RunPython.noop),"
            if isinstance(operation, RunSQL):
                code = "migrations.RunSQL(sql, reverse_sql),   # or migrations.RunSQL.noop"
                level = "info" if _is_harmless(operation) else "warning"
            at = place_in(collected.key, collected.migration, operation)
            yield said.NO_REVERSE(operation=kind, code=code, place=at, level=level)
    has_python = any(isinstance(one, RunPython) for one in parts)
    others = [
        e for one in collected.statements if not isinstance(one.operation, RunPython) for e in one.effects
    ]
    tables = sorted({effect.table for effect in others if lock_rules.stops_writers(effect) and effect.table})
    if has_python and collected.migration.atomic and (in_use := [t for t in tables if not catalog.is_new(t)]):
        yield locks.DATA_WITH_DDL(table=", ".join(in_use), place=where)


def _is_harmless(operation: RunSQL) -> bool:
    if not isinstance(operation.sql, str):
        return False
    if statement_kinds(operation.sql) & {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt"}:
        return False
    return {effect.kind for effect in effects(operation.sql)} <= _HARMLESS
