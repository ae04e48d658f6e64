"""Which way back there is from the newest release, by the evidence that its predeploy recorded.

- **abandon**: the release was never recorded as live; the deployed code survives its expand migrations.
  Traffic may be on it all the same (between the switch and postdeploy), so it is sent back too.
- **switch**: traffic goes back to the target; its code was run against this schema.
- **reverse**: the release's contract migrations are undone first.
- **restore**: they can't be undone; the backup from before them is brought back.
- **impossible**: none of these, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deploy import backup, gate
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.report import EXIT_REFUSED, EXIT_USAGE

from .history import PREPARED, History, Release, body, contract_body, keys_of
from .session import Session

if TYPE_CHECKING:
    from deploy.backup import Manifest

NOTHING_TO_ROLL_BACK = FindingType(
    "deploy.L040",
    "error",
    "There is nothing to roll back: {reason}.",
    "python manage.py releases list",
)
UNKNOWN_RELEASE = FindingType(
    "deploy.L041",
    "error",
    "The ledger knows no release {release!r}.{nearest}",
    "python manage.py releases list",
)
TOO_FAR_BACK = FindingType(
    "deploy.L045",
    "error",
    "Release {target} is not the one before {release}: between them {between} changed the schema for good.",
    "Roll back one release at a time: python manage.py rollback",
)
BACKUP_UNUSABLE = FindingType(
    "deploy.L070",
    "error",
    "Release {release} can only go back to {target} by restoring backup {backup}, "
    "and that can't be used: {reason}.",
    "Look at it: python manage.py backups verify {backup}; or mend the release by a new one.",
)

Way = Literal["abandon", "switch", "reverse", "restore"]


class NoWayBack(Refusal):
    """There is none; `plan` is what is known of it, as `RollbackPlan.as_dict` would have it."""

    def __init__(
        self, finding: Finding, *, release: str = "", target: str = "", exit_code: int = EXIT_USAGE
    ) -> None:
        super().__init__(finding, exit_code=exit_code)
        self.plan = {"release": release, "target": target, "way": "impossible", "reason": finding.message}


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What a rollback would do, in order. `migrations` are undone last first; `backup` is restored."""

    release: str
    target: str
    way: Way
    migrations: tuple[tuple[str, str], ...] = ()
    backup: str = ""
    switch: tuple[str, ...] = ()
    # With the way "restore": the backup's manifest, which is there and not known to be damaged.
    manifest: Manifest | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the report and the ledger."""
        return {
            "release": self.release,
            "target": self.target,
            "way": self.way,
            "migrations": [".".join(key) for key in self.migrations],
            "backup": self.backup,
            "switch": list(self.switch),
        }


def plan_rollback(session: Session, history: History, *, to: str = "") -> RollbackPlan:
    """Decide the way back from the newest prepared or live release.

    Raises:
        Refusal: deploy.L041 (exit code 2).
        NoWayBack: deploy.L040, deploy.L045 (2); deploy.L070 (1) for a backup that can't be restored.
    """
    if to and to not in history.releases:
        raise Refusal(UNKNOWN_RELEASE(release=to, nearest=nearest(to, history)))
    candidate, live = history.candidate(), history.live
    if candidate and to in ("", live.name if live else ""):
        target = live.name if live else ""
        return RollbackPlan(candidate.name, target, "abandon", switch=_switch_to(session, target))
    if live is None:
        raise NoWayBack(NOTHING_TO_ROLL_BACK(reason="no release is live or prepared"))
    if not history.previous:
        reason = f"no release was live before {live.name}"
        raise NoWayBack(NOTHING_TO_ROLL_BACK(reason=reason), release=live.name)
    target = to or history.previous[-1]
    if target == live.name:
        reason = f"release {target} is live already"
        raise NoWayBack(NOTHING_TO_ROLL_BACK(reason=reason), release=live.name, target=target)
    if target not in history.previous:
        reason = f"release {target} was never live"
        raise NoWayBack(NOTHING_TO_ROLL_BACK(reason=reason), release=live.name, target=target)
    passed = history.previous[history.previous.index(target) + 1 :]
    if contracted := [
        name
        for name in passed
        if history.releases[name].contracted or _contract_applied(session, history.releases[name])
    ]:
        too_far = TOO_FAR_BACK(target=target, release=live.name, between=", ".join(contracted))
        raise NoWayBack(too_far, release=live.name, target=target)
    return _plan_from_live(session, live, target)


def _plan_from_live(session: Session, live: Release, target: str) -> RollbackPlan:
    switch = _switch_to(session, target)
    contract = _contract_applied(session, live)
    if not contract:
        return RollbackPlan(live.name, target, "switch", switch=switch)
    prepared = body(session.ledger, live, PREPARED, needed=True)
    rehearsed = set(contract) <= set(keys_of(prepared, "contract"))
    if rehearsed and prepared.get("verdict_after_contract") == "reverse":
        return RollbackPlan(live.name, target, "reverse", contract, switch=switch)
    record = contract_body(session.ledger, live) or prepared
    backup_id = str(record.get("backup") or "")
    manifest = _usable(session, live.name, target, backup_id)
    return RollbackPlan(live.name, target, "restore", (), backup_id, switch, manifest)


def _usable(session: Session, release: str, target: str, backup_id: str) -> Manifest:
    reason = "the record names none"
    if backup_id:
        try:
            manifest = backup.read_manifest(session.conf, session.bucket, backup_id)
            backup.require_readable(session.conf, manifest)
            backup.plan_replace(session.conf, manifest)
        except Refusal as refusal:
            reason = "; ".join(finding.message.rstrip(".") for finding in refusal.findings)
        else:
            if not manifest.damage:
                return manifest
            reason = f"it was found damaged at {manifest.damage.at:%Y-%m-%d %H:%M} UTC"
    unusable = BACKUP_UNUSABLE(release=release, target=target, backup=backup_id or "(none)", reason=reason)
    raise NoWayBack(unusable, release=release, target=target, exit_code=EXIT_REFUSED)


def _contract_applied(session: Session, release: Release) -> tuple[tuple[str, str], ...]:
    """The release's contract migrations that are in the database, whoever applied them, last one first."""
    keys = keys_of(contract_body(session.ledger, release), "migrations")
    waiting = keys_of(body(session.ledger, release, PREPARED, needed=True), "contract")
    keys += [key for key in waiting if key not in keys]
    applied = gate.applied(session.conf.database) if keys else frozenset()
    return tuple(key for key in reversed(keys) if key in applied)


def _switch_to(session: Session, target: str) -> tuple[str, ...]:
    return tuple(part.replace("{release}", target) for part in session.conf.switch) if target else ()


def nearest(name: str, history: History) -> str:
    """ " Did you mean …?" for a release name that is unknown, or nothing."""
    import difflib

    near = difflib.get_close_matches(name, list(history.releases), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
