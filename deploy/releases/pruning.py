"""What may be pruned, by retention and by what releases stand on."""

from __future__ import annotations

from deploy import backup
from deploy.reporting.report import Step

from .history import CONTRACTED, PREPARED, STARTED, body, proofs, read_history
from .session import Session


def plan_for(session: Session, step: Step, policy: backup.Policy | None = None) -> backup.PrunePlan:
    """The plan by the configured policy, or the given one; its findings join `step`.

    Raises:
        Refusal: as `pinned_backups`.
    """
    conf = session.conf
    catalog = backup.scan(conf, session.bucket)
    plan = backup.plan_prune(
        conf,
        catalog.manifests,
        policy or backup.Policy.of(conf.backup),
        pinned_backups(session),
        unfinished=catalog.unfinished,
        unreadable=catalog.unreadable,
    )
    step.extend([*catalog.unreadable, *plan.findings])
    return plan


def pinned_backups(session: Session) -> set[str]:
    """Ids of backups that releases stand on: the live one, the one before it, a prepared one, and those begun
    since the live one is (a run that ended half-way may have migrated; its backup is from before that).

    Raises:
        Refusal: deploy.L011, deploy.L013: what can't be read is not unpinned.
    """
    history = read_history(session.ledger)
    names = {*history.previous[-1:], *([history.live.name] if history.live else [])}
    if candidate := history.candidate():
        names.add(candidate.name)
    pinned = set()
    for name in names:
        release = history.releases[name]
        for kind in (PREPARED, CONTRACTED):
            if backup_id := body(session.ledger, release, kind, needed=True).get("backup"):
                pinned.add(str(backup_id))
    for release in history.releases.values():
        if release.status in ("started", "failed") and release.seqs.get(STARTED, 0) > history.moved:
            pinned |= {
                str(proof.data["facts"]["backup"])
                for proof in proofs(session.ledger, release.name)
                if proof.data.get("step") == "backup" and proof.seq > history.moved
            }
    return pinned
