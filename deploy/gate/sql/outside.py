"""Statements that reach outside their database: to the server itself, its other sessions, its files.

A rehearsal's copy stands on a server with other databases, the live one often among them: what is named here
would be done to those (https://www.postgresql.org/docs/current/manage-ag-overview.html: roles, databases and
tablespaces belong to the whole cluster).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STATEMENTS = {
    "CreatedbStmt": "CREATE DATABASE", "DropdbStmt": "DROP DATABASE", "AlterDatabaseStmt": "ALTER DATABASE",
    "AlterDatabaseSetStmt": "ALTER DATABASE … SET", "AlterDatabaseRefreshCollStmt": "ALTER DATABASE",
    "AlterSystemStmt": "ALTER SYSTEM", "CreateRoleStmt": "CREATE ROLE", "AlterRoleStmt": "ALTER ROLE",
    "AlterRoleSetStmt": "ALTER ROLE … SET", "DropRoleStmt": "DROP ROLE", "GrantRoleStmt": "GRANT of a role",
    "DropOwnedStmt": "DROP OWNED", "ReassignOwnedStmt": "REASSIGN OWNED",
    "CreateTableSpaceStmt": "CREATE TABLESPACE", "DropTableSpaceStmt": "DROP TABLESPACE",
    "AlterTableSpaceOptionsStmt": "ALTER TABLESPACE", "CreateSubscriptionStmt": "CREATE SUBSCRIPTION",
    "AlterSubscriptionStmt": "ALTER SUBSCRIPTION", "DropSubscriptionStmt": "DROP SUBSCRIPTION",
}  # fmt: skip
# Statements about an object of any kind, and where they say of which.
_ABOUT = {
    "RenameStmt": ("renameType", "ALTER … RENAME"), "AlterOwnerStmt": ("objectType", "ALTER … OWNER"),
    "CommentStmt": ("objtype", "COMMENT"), "SecLabelStmt": ("objtype", "SECURITY LABEL"),
    "GrantStmt": ("objtype", "GRANT"),
}  # fmt: skip
_SHARED = {"DATABASE", "ROLE", "TABLESPACE", "PARAMETER_ACL"}
# https://www.postgresql.org/docs/current/functions-admin.html, adminpack and dblink.
_FUNCTION = re.compile(
    r"pg_(terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile\w*|pg_promote|pg_switch_wal"
    r"|pg_wal_replay_(pause|resume)|pg_create_restore_point|pg_backup_(start|stop)|pg_stat_reset_shared"
    r"|pg_(create|drop|copy)_\w*replication_slot|pg_replication_(slot|origin)_\w+"
    r"|pg_file_\w+|pg_logfile_rotate|lo_export|dblink\w*"
)
# Without one of these words a statement needs no second look: rows by the thousand are not parsed twice.
_WORDS = re.compile(
    r"\b(database|system|role|user|group|grant|revoke|owned|tablespace|subscription|copy|lo_export|dblink\w*"
    r"|pg_\w+)\b",
    re.IGNORECASE,
)
_UNREAD = re.compile(
    r"\b(create|alter|drop)\s+(database|role|user(?!\s+mapping)|group|tablespace|system|subscription)\b",
    re.IGNORECASE,
)


def reaching_outside(sql: str) -> list[str]:
    """What in a script reaches outside its database, as it is called in messages, in order; mostly nothing.

    DO blocks are read; what they put together at run time, and what functions and triggers do, is not known.
    """
    return list(dict.fromkeys(_of_script(sql))) if _WORDS.search(sql) else []


def _of_script(sql: str) -> Iterator[str]:
    from .effects import parsed

    statements = parsed(sql)
    if statements is None:
        # The server may read what the parser does not, once the driver has put the values in.
        yield from (" ".join(one.group().upper().split()) for one in _UNREAD.finditer(sql))
        return
    for one in statements:
        for node in _nodes(one.stmt):
            yield from _of_node(node)


def _nodes(top: Any) -> list[Any]:
    from pglast.visitors import Visitor

    found: list[Any] = []

    class Every(Visitor):
        def visit(self, _ancestors: Any, node: Any) -> None:
            found.append(node)

    Every()(top)
    return found


def _of_node(node: Any) -> Iterator[str]:
    kind = type(node).__name__
    if kind in _STATEMENTS:
        yield _STATEMENTS[kind]
    elif kind in _ABOUT:
        attribute, verb = _ABOUT[kind]
        about = getattr(node, attribute).name.removeprefix("OBJECT_")
        if about in _SHARED:
            yield f"{verb} ({about.replace('_', ' ')})"
    elif kind == "CopyStmt" and node.is_program:
        yield "COPY … PROGRAM"
    elif kind == "CopyStmt" and node.filename and not node.is_from:
        yield "COPY … TO a file"
    elif kind == "FuncCall" and _FUNCTION.fullmatch(name := str(node.funcname[-1].sval)):
        yield f"{name}()"
    elif kind == "DoStmt":
        yield from _of_block(node)


def _of_block(node: Any) -> Iterator[str]:
    from pglast import parse_plpgsql
    from pglast.parser import ParseError
    from pglast.stream import RawStream

    from .do_blocks import literal

    try:
        tree = parse_plpgsql(RawStream()(node))
    except ParseError:  # another language, or nothing that would run
        return
    for text in _expressions(tree):
        # An expression stands without its SELECT, an assignment with its target.
        for query in (text, f"SELECT {text}", f"SELECT {text.partition(':=')[2]}"):
            if (found := _parses(query)) is not None:
                yield from found
                break
        if text.startswith(("'", "$", "E'")) and (executed := literal(text)) is not None:
            yield from _of_script(executed)


def _parses(query: str) -> list[str] | None:
    from .effects import parsed

    return None if parsed(query) is None else list(_of_script(query))


def _expressions(tree: Any) -> Iterator[str]:
    """The text of every expression and statement in a block, in order."""
    if isinstance(tree, list):
        for one in tree:
            yield from _expressions(one)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            if name == "PLpgSQL_expr":
                yield str(value["query"])
            else:
                yield from _expressions(value)
