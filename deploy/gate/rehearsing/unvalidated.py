"""Rows that a check which was added NOT VALID refuses: no scan has met them, an UPDATE of one will."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from .readings import ask

_NOT_VALID = """SELECT k.oid::bigint, k.conname, c.relname,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname),
    pg_get_expr(k.conbin, k.conrelid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'c' AND NOT k.convalidated
    AND coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'"""  # NOT ENFORCED: PostgreSQL 18


def not_valid(connection: BaseDatabaseWrapper) -> frozenset[int]:
    """The checks that are not validated now (PostgreSQL), by oid."""
    if connection.vendor != "postgresql":
        return frozenset()
    connection.ensure_connection()
    return frozenset(row[0] for row in ask(connection, _NOT_VALID))


def broken_checks(connection: BaseDatabaseWrapper, known: frozenset[int]) -> list[tuple[str, str]]:
    """(table, constraint) of the checks that are not validated, not `known`, and that a row breaks."""
    if connection.vendor != "postgresql":
        return []
    found = []
    for oid, constraint, table, quoted, condition in ask(connection, _NOT_VALID):
        if oid in known:
            continue
        query = f"SELECT 1 FROM {quoted} WHERE NOT ({condition}) LIMIT 1"  # noqa: S608 – by PostgreSQL itself
        if ask(connection, query):
            found.append((table, constraint))
    return found
