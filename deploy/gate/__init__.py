"""The migration gate: judge (`check`), observe (`rehearse`), run (`apply`, `reverse`) and await
migrations; `acknowledge` and `phase` are for migration files.

What is imported from here is loaded when it is asked for: a migration file that imports `acknowledge` must
not load the gate, which loads migrations.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .applying.apply import apply, reverse
    from .applying.wait import wait
    from .declarations import acknowledge, phase
    from .graph.plan import MigrationKey, applied, known, leaves
    from .rehearsing.rehearsal import Rehearsal, rehearse
    from .schema import schema_fingerprint
    from .static.baseline_file import write_baseline
    from .static.check import GateReport, check
    from .static.edited import own_sources

__all__ = [
    "GateReport",
    "MigrationKey",
    "Rehearsal",
    "acknowledge",
    "applied",
    "apply",
    "check",
    "known",
    "leaves",
    "own_sources",
    "phase",
    "rehearse",
    "reverse",
    "schema_fingerprint",
    "wait",
    "write_baseline",
]

_HOMES = {
    "GateReport": "static.check",
    "MigrationKey": "graph.plan",
    "Rehearsal": "rehearsing.rehearsal",
    "acknowledge": "declarations",
    "applied": "graph.plan",
    "apply": "applying.apply",
    "check": "static.check",
    "known": "graph.plan",
    "leaves": "graph.plan",
    "own_sources": "static.edited",
    "phase": "declarations",
    "rehearse": "rehearsing.rehearsal",
    "reverse": "applying.apply",
    "schema_fingerprint": "schema",
    "wait": "applying.wait",
    "write_baseline": "static.baseline_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
