"""Which backups stay and which go, and why: decided as data, then done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.buckets import Bucket
from deploy.buckets.base import ObjectInfo, ObjectMissing, PreconditionFailed
from deploy.conf import DeployConf
from deploy.reporting.report import Step

from .engines import identity_of
from .manifest import Manifest

# A manifest follows its archive within moments; after a day nobody is between the two any more.
UNFINISHED_AFTER_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Decision:
    """One backup, whether it goes, and why.

    Attributes:
        objects: (name, generation) to delete, in this order; 0: whatever generation is there.
    """

    id: str
    goes: bool
    why: str
    stored_bytes: int
    objects: tuple[tuple[str, int], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return {"backup": self.id, "goes": self.goes, "why": self.why, "stored_bytes": self.stored_bytes}


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """A decision for every backup, newest first, then for archives without a manifest."""

    decisions: tuple[Decision, ...]

    @property
    def going(self) -> tuple[Decision, ...]:
        """What will be deleted."""
        return tuple(decision for decision in self.decisions if decision.goes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return {
            "delete": [decision.id for decision in self.going],
            "decisions": [decision.as_dict() for decision in self.decisions],
        }


def plan_prune(
    conf: DeployConf,
    manifests: Sequence[Manifest],
    keep: int,
    pinned: Collection[str],
    *,
    unfinished: Sequence[ObjectInfo] = (),
) -> PrunePlan:
    """Keep the newest `keep` (at least one), and the pinned; everything else of this database goes.

    Only what is given is decided on: a manifest that can't be read is not among them, so it stays. The
    manifests of any other project, environment or database stay too.

    Args:
        keep: how many, at least 1.
        pinned: ids that releases stand on.
        unfinished: archives without a manifest; they go after a day.
    """
    identity = identity_of(conf)
    ours = [manifest for manifest in manifests if manifest.identity == identity]
    ours.sort(key=lambda manifest: (manifest.created, manifest.id), reverse=True)
    keep = max(1, keep)
    decisions = []
    for place, manifest in enumerate(ours, 1):
        if place == 1:
            goes, why = False, "the newest"
        elif manifest.id in pinned:
            goes, why = False, "a release stands on it"
        elif place <= keep:
            goes, why = False, f"number {place} of the {keep} newest"
        else:
            goes, why = True, f"older than the {keep} newest"
        # The manifest first: without it the backup is gone, and the rest is an archive without one.
        objects = (
            (manifest.manifest_name, manifest.generation),
            *((manifest.object_name(part.file), part.generation) for part in manifest.files),
        )
        decisions.append(Decision(manifest.id, goes, why, manifest.stored_bytes, objects if goes else ()))
    for manifest in manifests:
        if manifest.identity != identity:
            decisions.append(
                Decision(
                    manifest.id,
                    goes=False,
                    why=f"of {manifest.identity}",
                    stored_bytes=manifest.stored_bytes,
                )
            )
    decisions.extend(_decide_unfinished(info) for info in unfinished if info.name.startswith(identity.prefix))
    return PrunePlan(tuple(decisions))


def _decide_unfinished(info: ObjectInfo) -> Decision:
    backup_id = info.name.split("/")[-2]
    goes = (datetime.now(UTC) - info.updated).total_seconds() > UNFINISHED_AFTER_SECONDS
    why = "it has no manifest" + (" since more than a day" if goes else ", but it may still come")
    return Decision(backup_id, goes, why, info.size_bytes, ((info.name, info.generation),) if goes else ())


def apply_prune(
    conf: DeployConf,  # noqa: ARG001 – every writer of the pipeline is called alike
    bucket: Bucket,
    plan: PrunePlan,
    *,
    guard: Callable[[], None],
    step: Step,
) -> dict[str, Any]:
    """Delete what the plan says, each object only in the generation that was planned.

    Safe to repeat and to run twice at once. Facts: `deleted` (ids), `kept` (number), `freed_bytes`.
    """
    deleted, freed_bytes = [], 0
    for number, decision in enumerate(plan.going, 1):
        guard()
        if _delete(bucket, decision):
            deleted.append(decision.id)
            freed_bytes += decision.stored_bytes
        step.progress(number, len(plan.going), unit="backups")
    return {
        "deleted": deleted,
        "kept": len(plan.decisions) - len(deleted),
        "freed_bytes": freed_bytes,
    }


def _delete(bucket: Bucket, decision: Decision) -> bool:
    """Delete its objects in order; stops, and says no, where one has changed since the plan."""
    for name, generation in decision.objects:
        try:
            bucket.delete(name, if_generation=generation or None)
        except ObjectMissing:
            continue  # another prune was here
        except PreconditionFailed:
            return False
    return True
