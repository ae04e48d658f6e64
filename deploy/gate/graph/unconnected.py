"""A PostgreSQL connection that never connects, and a schema editor on it that writes its SQL down.

Names of constraints, which Django looks up in the database, are made up; nothing here depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .plan import one_line

# What Django's feature flags assume of the server; newer than all that they ask about.
ASSUMED_SERVER_VERSION = 180000
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
LONGEST_NAME = 63


class NeedsDatabase(Exception):  # noqa: N818 – it states a need
    """An operation asked the database something while its SQL was being made."""


@cache
def _offline() -> type[BaseDatabaseWrapper]:
    from django.db.backends.postgresql.base import DatabaseWrapper

    class Offline(DatabaseWrapper):
        def connect(self) -> None:
            raise NeedsDatabase("it asks the database")

        def ensure_connection(self) -> None:
            raise NeedsDatabase("it asks the database")

    return Offline


def connection_like(alias: str) -> BaseDatabaseWrapper:
    """A PostgreSQL connection named `alias` that makes SQL and refuses to connect."""
    defaults = dict(connections.settings[alias]) if alias in connections.settings else {}
    settings = {**defaults, "ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}
    offline = _offline()(settings, alias)
    offline.__dict__["pg_version"] = ASSUMED_SERVER_VERSION
    return offline


@contextmanager
def editor_of(connection: BaseDatabaseWrapper, written: list[str], failed: list[str]) -> Iterator[Any]:
    """An editor that puts its SQL into `written`, and why a default of Python can't be had into `failed`."""
    editor_class: Any = connection.SchemaEditorClass

    class Writer(editor_class):  # type: ignore[misc]  # the engine's editor is known at run time only
        def execute(self, sql: object, params: Sequence[object] | None = ()) -> None:
            text = str(sql)
            written.append(text % tuple(_literal(value) for value in params) if params else text)

        def _constraint_names(self, model: Any, column_names: Any = None, **kinds: Any) -> list[str]:
            kind = next(
                (name for name in ("unique", "foreign_key", "check", "index") if kinds.get(name)), "any"
            )
            if kinds.get("primary_key"):
                return [f"{model._meta.db_table}_pkey"]
            return [made_up_name(model._meta.db_table, *(column_names or ()), kind)]

        def effective_default(self, field: Any) -> object:
            try:
                return super().effective_default(field)
            except Exception as error:  # noqa: BLE001 – a project's own function; it is reported
                failed.append(f"the default of {field.name}: {text_of(error)}")
                return 0  # some constant: what it is decides nothing here

        def _get_sequence_name(self, *_: str) -> None:
            return None

        def _is_collation_deterministic(self, *_: str) -> bool:
            return True

    editor = Writer(connection, collect_sql=True, atomic=False)
    editor.deferred_sql = []
    yield editor


def made_up_name(*parts: str) -> str:
    """A constraint's name where Django would look it up, no longer than PostgreSQL's names are."""
    return "_".join(parts).encode()[:LONGEST_NAME].decode(errors="ignore")


def text_of(error: Exception) -> str:
    """The error on one line, with its type."""
    return f"{type(error).__name__}: {one_line(error)[:200]}"


@contextmanager
def in_place_of(alias: str, connection: BaseDatabaseWrapper) -> Iterator[None]:
    """While SQL is made, `alias` is the connection that refuses: no operation can reach the real database."""
    real = connections[alias] if alias in connections.settings else None
    connections[alias] = connection
    try:
        yield
    finally:
        if real is None:
            del connections[alias]
        else:
            connections[alias] = real


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
