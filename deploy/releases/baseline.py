"""What a predeploy stands on: the deployed code, and what earlier runs of the same release recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from deploy import gate
from deploy.gate import GateReport, MigrationKey
from deploy.reporting.findings import FindingType, Refusal

from .history import PREPARED, ROLLED_BACK, History, Release, body, migrations_of, sources_of
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
        old = self.old
        return migrations_of(body(self.ledger, old, PREPARED)) or None if old else None

    @cached_property
    def recorded(self) -> dict[str, tuple[str, str]]:
        """Digests of the deployed code's migrations, and who recorded them, in words."""
        return {name: (value, f"release {by}") for name, (value, by) in self._sources.items()}

    @cached_property
    def _sources(self) -> dict[str, tuple[str, str]]:
        return sources_of(body(self.ledger, self.old, PREPARED)) if self.old else {}

    def sources(self) -> dict[str, tuple[str, str]]:
        """What to record of this image's migrations: of one that has not changed, the release that had it
        first.
        """
        before = self._sources
        return {
            name: before[name] if name in before and before[name][0] == value else (value, self.name)
            for name, value in gate.own_sources().items()
        }

    @cached_property
    def old(self) -> Release | None:
        """The release whose code must survive: the live one.

        A live release that is run again while its contract migrations wait for postdeploy is judged against
        the one before it still: its own code survives them, and they would be applied here, unrecorded.
        """
        live = self.history.live
        again = live is not None and live.name == self.name and bool(self.history.previous)
        if live and again and body(self.ledger, live, PREPARED).get("contract"):
            return self.history.releases[self.history.previous[-1]]
        return live

    @property
    def compared_with(self) -> str:
        """What `deployed` is, for a person."""
        return f"release {self.old.name}" if self.old else "the migrations applied to the database"

    def refuse_other_content(self, commit: str) -> None:
        """A recorded release is immutable, whatever became of it: other migrations or another commit (where
        both are known) under its name are refused.

        Raises:
            Refusal: deploy.L021, exit code 2. Nothing is recorded of it.
        """
        known = self.history.releases.get(self.name)
        if known and known.prepared:
            record = body(self.ledger, known, PREPARED)
            built_from = str(record.get("commit") or "")
            if built_from and commit and built_from != commit:
                raise Refusal(RELEASE_CHANGED(release=known.name, what=f"commit {built_from}, now {commit}"))
            recorded, here = migrations_of(record), gate.known()
            if recorded and recorded != here:
                differing = ", ".join(".".join(key) for key in sorted(recorded ^ here)[:3])
                raise Refusal(RELEASE_CHANGED(release=known.name, what=f"migrations differ: {differing}"))

    def recorded_as_prepared(self, found: GateReport, image: str) -> str:
        """When this very release was recorded with nothing left to apply before the switch, or nothing."""
        known = self.history.releases.get(self.name)
        if not known or not known.prepared or known.status not in ("prepared", "live") or found.expand:
            return ""
        record = body(self.ledger, known, PREPARED)
        recorded = {tuple(key) for key in record.get("contract", [])}
        same = recorded >= set(found.contract) and record.get("image", "") == image
        if known.status == "prepared":
            same = same and record.get("live_before") == self.live_name
        return f"{known.prepared:%Y-%m-%d %H:%M:%S} UTC" if same else ""

    @property
    def live_name(self) -> str | None:
        """The release that is live now."""
        return self.history.live.name if self.history.live else None

    def first_backup(self, evidence: Evidence) -> str | None:
        """The backup from before this release changed the database.

        A run that was killed while applying is followed by one that backs up a database which is already
        partly migrated; the way back is the newest of those with the fewest migrations applied.
        """
        known = self.history.releases.get(self.name)
        since = known.seqs.get(ROLLED_BACK, 0) if known else 0
        taken = [proof for proof in evidence.all_of("backup") if proof.seq > since]
        if not taken:
            return None
        first = min(taken, key=lambda proof: (proof.data["facts"].get("applied", 0), -proof.seq))
        return str(first.data["facts"]["backup"])
