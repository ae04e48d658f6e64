"""The SQL that a project's migrations carry, searched for what a statement builds on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL

from ..sql.effects import parsed
from ..sql.expressions import is_a, name_of
from .offline import flattened
from .plan import MigrationKey


@dataclass(frozen=True, slots=True)
class ProjectSQL:
    """RunSQL of the project, as seen from migration `key`; nothing is read before it is asked."""

    loader: MigrationLoader
    key: MigrationKey

    def names(self, name: str) -> bool:
        """Another migration names it: CREATE OR REPLACE may replace what that made."""
        return any(True for _ in self._texts(name, own=False))

    def is_stable(self, function: str) -> bool:
        """The project declares the function IMMUTABLE or STABLE: its value is the same for all rows
        (https://www.postgresql.org/docs/current/xfunc-volatility.html).
        """
        declared = [
            _volatility(one.stmt)
            for text in self._texts(function, own=True)
            for one in parsed(text) or ()
            if is_a(one.stmt, "CreateFunctionStmt") and name_of(one.stmt.funcname) == function
        ]
        return bool(declared) and all(one in {"immutable", "stable"} for one in declared)

    def _texts(self, name: str, *, own: bool) -> Iterator[str]:
        word = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
        for key, migration in self.loader.graph.nodes.items():
            if migration is None or (key == self.key and not own):
                continue
            for operation in flattened(migration.operations):
                if isinstance(operation, RunSQL):
                    texts = [operation.sql] if isinstance(operation.sql, str) else map(str, operation.sql)
                    yield from (text for text in texts if word.search(text))


def _volatility(node: object) -> str:
    options = getattr(node, "options", None) or ()
    return next((str(one.arg.sval) for one in options if one.defname == "volatility"), "volatile")
