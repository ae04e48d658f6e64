"""What a predeploy stands on: the deployed code, and what earlier runs of the same release recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from deploy import gate
from deploy.gate import GateReport, MigrationKey
from deploy.reporting.findings import FindingType, Refusal

from .history import PREPARED, ROLLED_BACK, History, body, migrations_of
from .ledger import Ledger
from .proof import Evidence

RELEASE_CHANGED = FindingType(
    "deploy.L021",
    "error",
    "Release {release} was already recorded with other content ({what}); a release is immutable.",
    "Give the new code a name of its own: RELEASE=$(git rev-parse HEAD) python manage.py predeploy",
)


@dataclass(frozen=True)
class Baseline:
    """The history as it was when the deploy lock was taken, seen from the release `name`."""

    ledger: Ledger
    history: History
    name: str

    @cached_property
    def deployed(self) -> frozenset[MigrationKey] | None:
        """The migrations that the live release's code knows; None when the ledger has no live release."""
        live = self.history.live
        return migrations_of(body(self.ledger, live, PREPARED)) or None if live else None

    @property
    def compared_with(self) -> str:
        """What `deployed` is, for a person."""
        live = self.history.live
        return f"release {live.name}" if live else "the migrations applied to the database"

    def refuse_other_content(self) -> None:
        """A recorded release is immutable: the same name with other migrations is refused.

        Raises:
            Refusal: deploy.L021, exit code 2. Nothing is recorded of it.
        """
        known = self.history.releases.get(self.name)
        if known and known.status in ("prepared", "live", "superseded"):
            recorded, here = migrations_of(body(self.ledger, known, PREPARED)), gate.known()
            if recorded and recorded != here:
                differing = ", ".join(".".join(key) for key in sorted(recorded ^ here)[:3])
                raise Refusal(RELEASE_CHANGED(release=known.name, what=f"migrations differ: {differing}"))

    def recorded_as_prepared(self, found: GateReport) -> str:
        """When this very release was recorded with nothing left to apply before the switch, or nothing."""
        known = self.history.releases.get(self.name)
        if not known or not known.prepared or known.status not in ("prepared", "live") or found.expand:
            return ""
        recorded = {tuple(key) for key in body(self.ledger, known, PREPARED).get("contract", [])}
        return f"{known.prepared:%Y-%m-%d %H:%M:%S} UTC" if recorded >= set(found.contract) else ""

    def first_backup(self, evidence: Evidence) -> str | None:
        """The backup from before this release changed the database.

        A run that was killed while applying is followed by one that backs up a database which is already
        partly migrated; the way back is the first backup since the release was last started anew.
        """
        known = self.history.releases.get(self.name)
        since = known.seqs.get(ROLLED_BACK, 0) if known else 0
        taken = [proof for proof in evidence.all_of("backup") if proof.seq > since]
        return str(taken[0].data["facts"]["backup"]) if taken else None
