"""What an error says, without the values of any row."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import Error
from django.db.migrations.exceptions import IrreversibleError

_PACKAGE = Path(__file__).resolve().parents[1]
# Django and Python raise these about code, not about data.
_NAMES_CODE = (FieldDoesNotExist, FieldError, IrreversibleError, ImportError, NameError)


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five-letter code of a Django database error, or an empty string."""
    return str(getattr(error.__cause__, "sqlstate", None) or getattr(error, "sqlstate", None) or "")


def constraint_name(error: BaseException) -> str:
    """The constraint that refused a row, or an empty string."""
    return str(getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or "")


def is_lost(error: BaseException) -> bool:
    """The connection or its server is gone, which no migration is to blame for.

    Classes 08 and 57P of https://www.postgresql.org/docs/current/errcodes-appendix.html; an
    OperationalError without a code is the client's own, of a connection that was closed.
    """
    driver: Any = error.__cause__ if isinstance(error, Error) else error
    if not type(driver).__module__.startswith("psycopg"):
        return False
    if type(driver).__name__ == "InterfaceError":
        return True
    state = sqlstate(error)
    return state.startswith(("08", "57P")) or (type(driver).__name__ == "OperationalError" and not state)


def database_text(error: BaseException) -> str:
    """What an error says without the values of any row.

    Of PostgreSQL's errors the primary message (DETAIL shows rows) without quoted input values, and of what
    functions and triggers raise themselves only by which. Of what is no database's error, the place: a text
    that a project wrote may say anything.
    """
    if not isinstance(error, Error):
        return str(error) if isinstance(error, _NAMES_CODE) else _raised_in(error)
    diagnostic: Any = getattr(error.__cause__, "diag", None)
    state = sqlstate(error)
    if state.startswith("P0"):
        return _raised_by(str(getattr(diagnostic, "context", None) or ""))
    text = str(
        getattr(diagnostic, "message_primary", None) or str(error).partition("\n")[0] or type(error).__name__
    )
    if state.startswith("22"):  # data exceptions quote the value: invalid input syntax for …: "value"
        text = re.sub(r":\s*\".*", "", text)
        text = re.sub(r"\".*\" is out of range", "it is out of range", text)
    # SQLite's foreign keys are checked by Django, which names the row.
    text = re.sub(r" with primary key '.*", " refers to a row that is not there", text)
    return " ".join(text.split())[:300]


def _raised_by(context: str) -> str:
    """CONTEXT begins with the innermost function: PL/pgSQL function name(types) line 3 at RAISE."""
    found = re.match(r"PL/pgSQL function ([\w.\"]+)\(", context)
    if found:
        return f"an exception raised by the function {found[1]}()"
    if context.startswith("PL/pgSQL function inline_code_block"):
        return "an exception raised by a DO block"
    return "an exception raised by a trigger or function"


def _raised_in(error: BaseException) -> str:
    """File and line where it was raised, in the project's own code if any of that was running."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no message is shown"
    own = [one for one in frames if not _is_library(Path(one.filename))]
    last = (own or frames)[-1]
    return f"raised in {'/'.join(Path(last.filename).parts[-3:])}, line {last.lineno}"


def _is_library(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or path.is_relative_to(_PACKAGE)
