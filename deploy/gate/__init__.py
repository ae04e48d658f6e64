"""The migration gate: judge (`check`), observe (`rehearse`), run (`apply`, `reverse`) and await
migrations.
"""

from __future__ import annotations

from .apply import apply, reverse
from .check import GateReport, check
from .plan import MigrationKey, applied, known, leaves
from .rehearsal import Rehearsal, rehearse
from .schema import schema_fingerprint
from .wait import wait

__all__ = [
    "GateReport",
    "MigrationKey",
    "Rehearsal",
    "applied",
    "apply",
    "check",
    "known",
    "leaves",
    "rehearse",
    "reverse",
    "schema_fingerprint",
    "wait",
]
