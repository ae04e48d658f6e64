"""What a rehearsal showed, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.reporting.findings import Finding

from .evidence import Proof
from .observed import Observed

Verdict = Literal["switch", "reverse", "restore"]

_LONGEST_STATEMENT = 48
# A row of the table for what takes no lock, touches no row and is over at once would hide the others.
_WORTH_A_ROW_SECONDS = 0.05


@dataclass
class Rehearsal:
    """What the rehearsal showed.

    `verdict` is the way back after the switch: "switch" (the old code works on the new schema), "reverse"
    (the expand migrations can be undone first) or "restore" (only the backup leads back).
    `verdict_after_contract` is the same once postdeploy has run the contract migrations.

    `code_first`: the new code works on the schema from before the migrations; None when it was not tried.
    `thinned` are tables that were emptied to a row before that (see `thinning`).
    `reversed_cleanly`, `redone_cleanly`: None when there was no way back to try.
    `role` tells of rights that the application's role may not have.
    `production` says what the estimates rest on; `drill` what the interruption drill did, or why there was
    none. `proof` is for the ledger; it is there when every migration ran.
    """

    verdict: Verdict = "switch"
    verdict_after_contract: Verdict = "switch"
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    statements: dict[str, list[Observed]] = field(default_factory=dict)
    models: int = 0
    code_first: bool | None = None
    reversed_cleanly: bool | None = None
    redone_cleanly: bool | None = None
    thinned: list[str] = field(default_factory=list)
    production: str = ""
    copy: str = ""
    role: str = ""
    proof: Proof | None = None
    drill: dict[str, Any] | str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the report and the ledger."""
        return {
            "verdict": self.verdict,
            "verdict_after_contract": self.verdict_after_contract,
            "models_exercised": self.models,
            "code_first": self.code_first,
            "reversed_cleanly": self.reversed_cleanly,
            "redone_cleanly": self.redone_cleanly,
            "undone_with_a_row_of": self.thinned or None,
            "drill": self.drill or None,
            "copy": self.copy or None,
            "role": self.role or None,
            "estimates": self.production or None,
            "migrations": {
                name: {
                    "seconds": seconds,
                    "statements": [one.as_dict() for one in self.statements.get(name, ())],
                }
                for name, seconds in self.seconds.items()
            },
            "observed": list(self._rows()),
        }

    def _rows(self) -> Iterator[dict[str, Any]]:
        """The statements that locked, read or wrote something, for a person."""
        for name, statements in self.statements.items():
            label = name
            for one in statements:
                did = [f"rewrote {table}" for table in one.rewritten]
                did += [
                    f"read {rows:,} rows of {table}"
                    for table, rows in one.scanned.items()
                    if table not in one.rewritten
                ]
                did += [f"wrote {rows:,} rows of {table}" for table, rows in one.written.items()]
                if not (did or one.locks or one.seconds >= _WORTH_A_ROW_SECONDS):
                    continue
                times = f"{one.count} × " if one.count > 1 else ""
                yield {
                    "migration": label,
                    "statement": times + one.statement.replace('"', "")[:_LONGEST_STATEMENT],
                    "took_seconds": one.seconds,
                    "lock": _grouped(one.locks),
                    "stops": ", ".join(dict.fromkeys(filter(None, one.stops.values()))),
                    "did": ", ".join(did),
                    "log_bytes": one.wal_bytes,
                }
                label = ""


def _grouped(by_table: dict[str, str]) -> str:
    """`ACCESS EXCLUSIVE on a, b` of what each table has."""
    tables: dict[str, list[str]] = {}
    for table, what in by_table.items():
        if what:
            tables.setdefault(what, []).append(table)
    return "; ".join(f"{what} on {', '.join(names)}" for what, names in tables.items())
