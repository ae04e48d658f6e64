"""Proved steps: what was proved, of which inputs, so that a second run goes on where the first one ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.reporting.findings import Finding
from deploy.reporting.report import Step

from .history import PROVED, proofs
from .ledger import Ledger, Record


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of JSON-like inputs: what a proof depends on."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Evidence:
    """The proofs of one release: those found in the ledger, and those that this run adds."""

    ledger: Ledger
    release: str
    guard: Callable[[], None]
    known: list[Record] = field(default_factory=list)

    @classmethod
    def of(cls, ledger: Ledger, release: str, guard: Callable[[], None]) -> Evidence:
        """Read what earlier runs have proved of this release."""
        return cls(ledger, release, guard, proofs(ledger, release))

    def find(self, step: str, inputs: Mapping[str, Any]) -> Record | None:
        """The newest proof of `step` with exactly these inputs."""
        wanted = fingerprint(inputs)
        for record in reversed(self.known):
            if record.data.get("step") == step and record.data.get("inputs") == wanted:
                return record
        return None

    def all_of(self, step: str) -> list[Record]:
        """Every proof of `step`, oldest first, whatever its inputs."""
        return [record for record in self.known if record.data.get("step") == step]

    def add(self, step: Step, inputs: Mapping[str, Any], *, proof: Mapping[str, Any] | None = None) -> None:
        """Record that `step` was proved of `inputs`, with the `proof` that others may compare with."""
        data = {
            "step": step.name,
            "inputs": fingerprint(inputs),
            "facts": step.facts,
            "findings": [finding.as_dict() for finding in step.findings],
            "seconds": round(step.seconds, 3),
            **({"proof": dict(proof)} if proof else {}),
        }
        self.known.append(self.ledger.append(PROVED, self.release, data, guard=self.guard))


def reuse(step: Step, proof: Record) -> None:
    """Show an earlier proof as this run's step: its facts and findings, and that it was skipped."""
    step.facts.update(proof.data.get("facts", {}))
    step.extend(Finding.from_dict(finding) for finding in proof.data.get("findings", []))
    step.skip(f"proved at {proof.at:%Y-%m-%d %H:%M:%S} UTC by {proof.by}; nothing it depends on has changed")
