"""The migration gate: judge (`check`), observe (`rehearse`), run (`apply`, `reverse`) and await
migrations; `acknowledge` and `phase` are for migration files.

What is imported from here is loaded when it is asked for: a migration file that imports `acknowledge` must
not load the gate, which loads migrations.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .apply import apply, reverse
    from .baseline_file import write_baseline
    from .check import GateReport, check
    from .declarations import acknowledge, phase
    from .edited import own_sources
    from .plan import MigrationKey, applied, known, leaves
    from .rehearsal import Rehearsal, rehearse
    from .schema import schema_fingerprint
    from .wait import wait

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
    "GateReport": "check",
    "MigrationKey": "plan",
    "Rehearsal": "rehearsal",
    "acknowledge": "declarations",
    "applied": "plan",
    "apply": "apply",
    "check": "check",
    "known": "plan",
    "leaves": "plan",
    "own_sources": "edited",
    "phase": "declarations",
    "rehearse": "rehearsal",
    "reverse": "apply",
    "schema_fingerprint": "schema",
    "wait": "wait",
    "write_baseline": "baseline_file",
}


class _Package(ModuleType):
    """Some modules have the name of their function: here the name means the function (PEP 562's
    `__getattr__` would not be asked once the import system has set the module as an attribute).
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{self.__name__}.{_HOMES[name]}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
