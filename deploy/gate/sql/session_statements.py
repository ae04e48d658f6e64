"""Statements about the session: settings, transactions, locks."""

from __future__ import annotations

import re
from typing import Any

from .effect import Effect
from .expressions import constant

# The modes of LOCK TABLE by number, from src/include/storage/lockdefs.h.
LOCK_MODES = (
    "", "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE",
    "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE",
)  # fmt: skip
_FIRST_MODE_THAT_STOPS_WRITERS = 5


def setting(node: Any) -> list[Effect]:
    """SET and RESET: what takes the limit on waiting for locks away, or makes statements act otherwise."""
    kind, name = node.kind.name, (node.name or "").lower()
    values = [constant(one) or "" for one in node.args or ()]
    if kind == "VAR_RESET_ALL":
        return [Effect("no_limit", verb="RESET ALL")]
    if name == "lock_timeout" and (
        kind in {"VAR_SET_DEFAULT", "VAR_RESET"} or any(is_zero(v) for v in values)
    ):
        verb = {"VAR_SET_DEFAULT": "SET LOCK_TIMEOUT TO DEFAULT", "VAR_RESET": "RESET LOCK_TIMEOUT"}
        return [Effect("no_limit", verb=verb.get(kind, "SET LOCK_TIMEOUT = 0"))]
    if name == "statement_timeout" and not node.is_local and any(is_zero(v) for v in values):
        return [Effect("no_time_limit", verb="SET STATEMENT_TIMEOUT = 0")]
    if name == "session_replication_role" and values != ["origin"]:
        return [Effect("opaque", verb="SET SESSION_REPLICATION_ROLE")]
    return []


def discard(node: Any) -> list[Effect]:
    return [Effect("no_limit", verb="DISCARD ALL")] if node.target.name == "DISCARD_ALL" else []


def lock(node: Any) -> list[Effect]:
    stops = node.mode >= _FIRST_MODE_THAT_STOPS_WRITERS
    return [
        Effect("lock" if stops else "other", one.relname, new=LOCK_MODES[node.mode], verb="LOCK TABLE")
        for one in node.relations
    ]


def transaction(node: Any) -> list[Effect]:
    kind = node.kind.name
    if kind in {"TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO"}:
        return []
    return [Effect("transaction", verb=kind.removeprefix("TRANS_STMT_").replace("_", " "))]


def is_zero(value: str) -> bool:
    return bool(re.fullmatch(r"[+-]?0+(\.0*)?\s*(us|ms|s|min|h|d)?", value.strip()))
