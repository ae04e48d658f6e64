"""Which backups stay and which go, and why: decided as data, then done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.buckets import Bucket
from deploy.buckets.base import ObjectInfo, ObjectMissing, PreconditionFailed
from deploy.buckets.lost_answers import stat_surely
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding
from deploy.reporting.report import Step

from .engines import identity_of
from .findings_of_proofs import LEFT_ELSEWHERE
from .manifest import Manifest
from .naming import MANIFEST, Identity
from .policy import Policy

# A manifest follows its archives within moments; after a day nobody is between the two any more.
UNFINISHED_AFTER_SECONDS = 86400


# Kinds of companions that lie outside the bucket.
_ELSEWHERE = frozenset({"cloudsql", "firestore-managed"})


@dataclass(frozen=True, slots=True)
class Decision:
    """One backup, whether it goes, and every reason.

    Attributes:
        objects: (name, generation) to delete, in this order; 0: whatever generation is there.
        unless: the name of an object that, once it is there, keeps all of them; or empty.
        elsewhere: what it names outside the bucket, and is not deleted with it.
    """

    id: str
    goes: bool
    reasons: tuple[str, ...]
    stored_bytes: int
    age_seconds: float | None = None
    objects: tuple[tuple[str, int], ...] = ()
    elsewhere: tuple[str, ...] = ()
    unless: str = ""

    @property
    def why(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return {
            "backup": self.id,
            "goes": self.goes,
            "age_seconds": None if self.age_seconds is None else round(self.age_seconds),
            "stored_bytes": self.stored_bytes,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """A decision for every backup, newest first, then for what is not a whole one."""

    decisions: tuple[Decision, ...]

    @property
    def going(self) -> tuple[Decision, ...]:
        """What will be deleted."""
        return tuple(decision for decision in self.decisions if decision.goes)

    @property
    def findings(self) -> list[Finding]:
        """What stays behind elsewhere when a backup goes."""
        return [
            LEFT_ELSEWHERE(id=decision.id, what=", ".join(decision.elsewhere))
            for decision in self.going
            if decision.elsewhere
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return {
            "delete": [decision.id for decision in self.going],
            "freed_bytes": sum(decision.stored_bytes for decision in self.going),
            "decisions": [decision.as_dict() for decision in self.decisions],
        }


def plan_prune(
    conf: DeployConf,
    manifests: Sequence[Manifest],
    policy: Policy,
    pinned: Collection[str],
    *,
    unfinished: Sequence[ObjectInfo] = (),
    unreadable: Sequence[Finding] = (),
    now: datetime | None = None,
) -> PrunePlan:
    """Decide on each. Whatever the policy: the newest stays, the newest of each grade, and the pinned.

    Only this database's own are decided on: what is of another project, environment or database stays, and
    what can't be read as well.

    Args:
        pinned: ids that releases stand on.
        unfinished: files without a manifest; they go when the youngest of a backup is a day old.
        unreadable: the catalog's findings of manifests that can't be read.
        now: UTC; the present, if not given.
    """
    identity, now = identity_of(conf), now or datetime.now(UTC)
    ours = [manifest for manifest in manifests if manifest.identity == identity]
    ours.sort(key=lambda manifest: (manifest.created, manifest.id), reverse=True)
    kept_by = _kept_by(ours, policy, now)
    best: int = -1
    decisions = []
    for place, (manifest, rules) in enumerate(zip(ours, kept_by, strict=True)):
        reasons = ["the newest"] if place == 0 else []
        if manifest.grade is not None and manifest.grade > best:
            best = manifest.grade
            reasons.append(f"the newest proved to L{best}")
        if manifest.id in pinned:
            reasons.append("a release stands on it")
        if manifest.damage and (reasons or rules):
            reasons.insert(0, "damaged")
        decisions.append(_decide(manifest, [*reasons, *rules], place, now))
    decisions += [
        Decision(manifest.id, goes=False, reasons=(f"of {manifest.identity}",), stored_bytes=0)
        for manifest in manifests
        if manifest.identity != identity
    ]
    decisions += [
        Decision((finding.place or "").split("/")[-2], False, ("it can't be read",), 0)  # noqa: FBT003 – it stays
        for finding in unreadable
    ]
    return PrunePlan((*decisions, *_decide_unfinished(unfinished, identity, now)))


def _kept_by(ours: Sequence[Manifest], policy: Policy, now: datetime) -> list[list[str]]:
    """By which rules each stays, newest first. One that is damaged takes no good one's place."""
    by_all = policy.reasons([manifest.created for manifest in ours], now)
    good = iter(policy.reasons([manifest.created for manifest in ours if not manifest.damage], now))
    return [rules if manifest.damage else next(good) for manifest, rules in zip(ours, by_all, strict=True)]


def _decide(manifest: Manifest, reasons: list[str], place: int, now: datetime) -> Decision:
    goes = not reasons
    # The manifest first: without it the backup is gone, and the rest is files without one.
    objects = (
        (manifest.manifest_name, manifest.generation),
        *((manifest.object_name(part.file), part.generation) for part in manifest.files),
    )
    elsewhere = tuple(
        f"{companion.kind} {_address(companion.facts)}".strip()
        for companion in manifest.companions
        if companion.kind in _ELSEWHERE and companion.facts.get("state") != "failed"
    )
    return Decision(
        manifest.id,
        goes,
        tuple(reasons) or (f"number {place + 1}, and no rule keeps it",),
        manifest.stored_bytes,
        (now - manifest.created).total_seconds(),
        objects if goes else (),
        elsewhere,
    )


def _address(facts: dict[str, Any]) -> str:
    """What a person looks for it by."""
    return next((str(facts[key]) for key in ("uri", "backup", "name", "operation") if facts.get(key)), "")


def _decide_unfinished(infos: Sequence[ObjectInfo], identity: Identity, now: datetime) -> Iterator[Decision]:
    folders: dict[str, list[ObjectInfo]] = {}
    for info in infos:
        if info.name.startswith(identity.prefix):
            folders.setdefault(info.name.split("/")[-2], []).append(info)
    for backup_id, files in sorted(folders.items(), reverse=True):
        age_seconds = (now - max(info.updated for info in files)).total_seconds()
        goes = age_seconds > UNFINISHED_AFTER_SECONDS
        why = "it has no manifest" + (" since more than a day" if goes else ", but it may still come")
        yield Decision(
            backup_id,
            goes,
            (why,),
            sum(info.size_bytes for info in files),
            age_seconds,
            tuple((info.name, info.generation) for info in files) if goes else (),
            unless=identity.object_name(backup_id, MANIFEST),
        )


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
    if decision.unless and stat_surely(bucket, decision.unless) is not None:
        return False
    for name, generation in decision.objects:
        try:
            bucket.delete(name, if_generation=generation or None)
        except ObjectMissing:
            continue  # another prune was here
        except PreconditionFailed:
            return False
    return True
