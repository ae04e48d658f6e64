"""Whether the interruption drill takes place, and the copy of the copy that it needs from before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from django.db import connections

from deploy.conf import DeployConf
from deploy.databases import copies
from deploy.reporting.facts import human_bytes
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from ..graph.plan import place
from ..static.judgement import GateReport
from .evidence import is_empty
from .interruption import Drill
from .readings import ask
from .rehearsal_report import Rehearsal

When = Literal["never", "small", "always"]
_LONGEST_NAME = 58  # 63 bytes, less the endings of the copies


@contextmanager
def base_for_drill(conf: DeployConf, alias: str, gate: GateReport, when: When) -> Iterator[tuple[str, str]]:
    """Yield (the name of a copy of database `alias` as it is now, or empty; why there is none)."""
    name = str(connections[alias].settings_dict["NAME"])
    reason = _reason(conf, alias, gate, when)
    if reason:
        yield "", reason
        return
    base = f"{name}_drill" if "/" in name else f"{name[: _LONGEST_NAME - 6]}_drill"
    try:
        connections[alias].close()
        for leftover in (base, f"{base}_1"):  # of a drill that was killed itself
            copies.drop(alias, leftover)
        try:
            copies.copy_whole(alias, name, base)
        except Refusal as refusal:
            yield "", f"not done: {refusal.findings[0].message}"
            return
        yield base, ""
    finally:
        for leftover in (base, f"{base}_1"):
            copies.drop(alias, leftover)


def exercise_interruptions(
    conf: DeployConf, base: str, gate: GateReport, result: Rehearsal, step: Step
) -> None:
    """Run the drill on `base` and add what it found to `result`."""
    assert result.proof is not None  # noqa: S101 – the caller has looked
    keys = {place(key): key for key in gate.pending}
    drill = Drill(conf, conf.database, base, step)
    result.drill = drill.run([(keys[name], after) for name, _, after in result.proof.ran if name in keys])
    result.findings += drill.findings


def _reason(conf: DeployConf, alias: str, gate: GateReport, when: When) -> str:
    if when == "never":
        return "not asked for"
    if not gate.pending:
        return "not done: nothing is pending"
    if when == "small" and is_empty(alias):
        return "not done: the database is empty, its first migrations can be run from the start"
    size = _size_bytes(alias)
    if when == "small" and size > conf.drill_limit_bytes:
        limit = human_bytes(conf.drill_limit_bytes)
        return f"not done: the copy has {human_bytes(size)}, over DEPLOY['DRILL_LIMIT_BYTES'] ({limit})"
    return ""


def _size_bytes(alias: str) -> int:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        return path.stat().st_size if path.is_file() else 0
    connection.ensure_connection()
    return int(ask(connection, "SELECT pg_database_size(current_database())")[0][0])
