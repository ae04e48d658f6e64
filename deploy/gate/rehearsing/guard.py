"""Keeps a rehearsal inside its copy: what reaches outside is not sent to the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from ..sql.outside import reaching_outside


class ReachesOutside(Exception):  # noqa: N818 – a refusal, not a mistake of ours
    """The statement was not sent."""


@dataclass
class Guard:
    """An `execute_wrapper` that raises `ReachesOutside` in place of such a statement, and remembers it in
    `refused`: a migration may catch the exception.
    """

    connection: BaseDatabaseWrapper
    refused: list[str] = field(default_factory=list)

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any) -> Any:
        if self.connection.vendor == "postgresql" and (found := reaching_outside(self._text(sql))):
            self.refused += found
            raise ReachesOutside(", ".join(found))
        return execute(sql, params, many, context)

    def _text(self, sql: Any) -> str:
        """psycopg's composed statements say what they are only with a connection."""
        if not hasattr(sql, "as_string"):
            return str(sql)
        self.connection.ensure_connection()
        return str(sql.as_string(self.connection.connection))
