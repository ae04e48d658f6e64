"""What a database error says, without the values of any row."""

from __future__ import annotations

import re
from typing import Any


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five-letter code of a Django database error, or an empty string."""
    return str(getattr(error.__cause__, "sqlstate", None) or getattr(error, "sqlstate", None) or "")


def constraint_name(error: BaseException) -> str:
    """The constraint that refused a row, or an empty string."""
    return str(getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or "")


def database_text(error: BaseException) -> str:
    """The error's primary message; DETAIL, which shows rows, is left out, and so are quoted input values."""
    diagnostic: Any = getattr(error.__cause__, "diag", None)
    text = str(
        getattr(diagnostic, "message_primary", None) or str(error).partition("\n")[0] or type(error).__name__
    )
    if sqlstate(error).startswith(
        "22"
    ):  # data exceptions quote the value: invalid input syntax for …: "value"
        text = re.sub(r":\s*\".*", "", text)
    return " ".join(text.split())[:300]
