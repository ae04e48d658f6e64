"""Grants brought back by a role that is no superuser: each by itself, and what it may not make is told.

pg_restore stops at the first that is refused, and makes a grant in the name of whoever gave it, which only a
superuser can (SET SESSION AUTHORIZATION). On Cloud SQL nobody is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.backup.findings_of_restore import GRANTED_BY_US, GRANTS_NOT_MADE
from deploy.databases import postgresql as server
from deploy.reporting.findings import Finding, Refusal

from .postgresql_load import Loader

if TYPE_CHECKING:
    from psycopg import Connection

# As `pg_restore --list` shows them. Those of large objects and of languages are called ACL too.
_ENTRY = re.compile(r"\d+; \d+ \d+ (?:DEFAULT )?ACL ")
# All that pg_dump writes for them has no literal (src/bin/pg_dump/dumputils.c, buildACLCommands), but for the
# settings at the beginning, which hold no semicolon.
_TOKEN = re.compile(r'--[^\n]*|"[^"]*"|;|[^-";]+|-')
_GRANT = re.compile(r"GRANT|REVOKE|ALTER DEFAULT PRIVILEGES")
_SOMEBODY_ELSE = re.compile(r"SET SESSION AUTHORIZATION (?P<role>.+)", re.DOTALL)
# 01006 and 01007: the server made nothing of a REVOKE or GRANT, and only warns of it.
_NOTHING_DONE = ("01006", "01007")


@dataclass(slots=True)
class _Made:
    """What became of the statements."""

    refused: list[str] = field(default_factory=list)
    failed: list[Finding] = field(default_factory=list)
    in_our_name: set[str] = field(default_factory=set)


def make_grants(loader: Loader) -> None:
    """Make the archive's grants and default privileges in the restored database, as far as our role may.

    What another role had granted is granted by ours. What is refused is a warning with the statements.

    Raises:
        Refusal: deploy.B045 for every role that the server does not have, B005 for another reason; exit
            code 1.
    """
    manifest = loader.saved.manifest
    main = manifest.parts[0]
    entries = [line for line in loader.listing(main) if _ENTRY.match(line)]
    if not entries:
        return
    made = _Made()
    with server.connect(loader.conf.database, loader.name) as connection:
        connection.execute("SELECT set_config('search_path', '', false)")
        row = connection.execute("SELECT current_user::text").fetchone()
        assert row is not None  # noqa: S101 – everybody is somebody
        with connection.transaction():
            _make(connection, loader, loader.script(main, entries), made)
    if made.failed:
        raise Refusal(*dict.fromkeys(made.failed), exit_code=1)
    step = loader.saved.step
    if made.in_our_name:
        others = ", ".join(sorted(made.in_our_name))
        step.add(GRANTED_BY_US(id=manifest.id, roles=others, role=row[0]))
    if made.refused:
        step.add(
            GRANTS_NOT_MADE(
                id=manifest.id,
                count=len(made.refused),
                role=row[0],
                live=server.database_name(loader.conf.database),
                statements="\n".join(f"{statement};" for statement in made.refused),
            )
        )


def statements_of(script: str) -> Iterator[tuple[str, str]]:
    """The grants of a script of pg_restore, each with the role (quoted where it needs it) in whose name it is
    made; empty: the owner's.
    """
    grantor = ""
    for statement in _split(script):
        if found := _SOMEBODY_ELSE.fullmatch(statement):
            grantor = found["role"]
        elif statement == "RESET SESSION AUTHORIZATION":
            grantor = ""
        elif _GRANT.match(statement):
            yield statement, grantor


def _split(script: str) -> Iterator[str]:
    parts: list[str] = []
    for piece in _TOKEN.findall(script):
        if piece == ";":
            yield "".join(parts).strip()
            parts.clear()
        elif not piece.startswith("--"):
            parts.append(piece)


def _make(connection: Connection[Any], loader: Loader, script: str, made: _Made) -> None:
    import psycopg

    warned: list[str] = []
    connection.add_notice_handler(lambda notice: warned.append(notice.sqlstate or ""))
    for statement, grantor in statements_of(script):
        warned.clear()
        try:
            # A savepoint: one that is refused is no reason to leave out the others.
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            made.refused.append(statement)
        except psycopg.Error as error:
            made.failed.append(loader.why(str(error).partition("\n")[0]))
        else:
            if any(state in _NOTHING_DONE for state in warned):
                made.refused.append(statement)
            elif grantor:
                made.in_our_name.add(grantor)
