"""What SQL statements do to a schema, as data: the ground of every rule and of the compatibility check.

Statements are parsed by PostgreSQL's own grammar (pglast: that of PostgreSQL 18, which takes what 14 to 17
do). Table names lose their schema: a project's tables are told apart by name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from .effect import Effect
from .statements import STATEMENTS


def effects(sql: str) -> list[Effect]:
    """Every effect of a script, in order; one of kind `unreadable` where it is not PostgreSQL's SQL."""
    return list(_effects(sql))


def statement_count(sql: str) -> int:
    """How many statements a script has; 0 when it has none or can't be read."""
    return len(parsed(sql) or ())


def statement_kinds(sql: str) -> frozenset[str]:
    """The kinds of the statements in a script, as the grammar names them: `InsertStmt`, …"""
    return frozenset(type(one.stmt).__name__ for one in parsed(sql) or ())


@lru_cache(maxsize=1024)
def parsed(sql: str) -> tuple[Any, ...] | None:
    """The raw parse tree of each statement, or None for what PostgreSQL's grammar refuses."""
    return _parse(sql)[0]


@lru_cache(maxsize=8192)
def _effects(sql: str) -> tuple[Effect, ...]:
    statements, problem = _parse(sql)
    if statements is None:
        return (Effect("unreadable", new=problem, verb=" ".join(sql.split()[:2])[:40]),)
    return tuple(effect for one in statements for effect in of_statement(one.stmt))


def of_statement(node: Any) -> list[Effect]:
    """The effects of one parsed statement."""
    reader = STATEMENTS.get(type(node).__name__)
    return list(reader(node)) if reader is not None else [Effect("opaque", verb=_title(node))]


def _parse(sql: str) -> tuple[tuple[Any, ...] | None, str]:
    from pglast import parse_sql
    from pglast.parser import ParseError

    try:
        return tuple(parse_sql(sql)), ""
    except ParseError as error:
        problem = str(error.args[0])
    except UnicodeEncodeError as error:  # half of a surrogate pair: no database could be sent it
        return None, error.reason
    # A statement that waits for its parameters: their place is that of a value.
    if "%" in sql:
        try:
            return tuple(parse_sql(re.sub(r"%%|%s|%\(\w+\)s", _filled, sql))), ""
        except ParseError:
            pass
    return None, problem


def _filled(match: re.Match[str]) -> str:
    return "%" if match.group() == "%%" else "NULL"


def _title(node: Any) -> str:
    """AlterOperatorStmt: ALTER OPERATOR."""
    text = type(node).__name__.removesuffix("Stmt")
    return "".join(f" {letter}" if letter.isupper() else letter for letter in text).strip().upper()
