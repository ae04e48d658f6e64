"""What is special about going back by a backup: what is lost, who says yes, and nobody writes meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy import backup
from deploy.buckets.base import BucketError
from deploy.maintenance import state
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import EXIT_USAGE, Report, Step

from .announcing import require_installed
from .history import PREPARED, History, body
from .session import Guard, Session
from .way_back import RollbackPlan

RESTORE_NOT_CONFIRMED = FindingType(
    "deploy.L042",
    "error",
    "Rolling back {release} to {target} needs the database {database} replaced by backup {backup}: {loss}",
    "python manage.py rollback --release {release} --yes-restore {release}",
)
MAINTENANCE_STAYS = FindingType(
    "deploy.L072",
    "warning",
    "Maintenance stays on, because traffic is not yet at release {target}, whose database this is now.",
    "Point traffic at release {target}, then: python manage.py announce --resolve",
)
ROWS_LOST = FindingType(
    "deploy.L073",
    "warning",
    "Restoring loses what was written since {since}: {loss}",
    "To lose nothing, mend the release by a new one; single tables come back beside the live ones with "
    "restoredb --table.",
    why="Rows that were changed in place, or deleted while others came, are in no count.",
)
INFRASTRUCTURE = FindingType(
    "deploy.L074",
    "info",
    "The Terraform state was at generation {theirs} with release {target}, and at {ours} with {release}.",
    "If the infrastructure has to go back too, that is the infrastructure workflow's: "
    "generation {theirs} of the state.",
)

TEXT = "We are bringing the service back to an earlier state."
# Between what a process knows of the bucket and the bucket, beside the time between its looks.
_ANSWER_SECONDS = 1.0


def tell_loss(session: Session, plan: RollbackPlan, step: Step) -> str:
    """Facts and a finding of what was written since the backup, by table and in words; returns the words."""
    assert plan.manifest is not None  # noqa: S101 – the way is "restore"
    written = backup.written_since(session.conf, plan.manifest)
    step.facts["rows_written_since"] = written["tables"]
    step.facts["loss"] = loss = in_words(written)
    step.add(ROWS_LOST(since=f"{plan.manifest.created:%Y-%m-%d %H:%M:%S} UTC", loss=loss))
    return loss


def in_words(written: dict[str, Any]) -> str:
    """`written_since` in one sentence."""
    more = [row for row in written["tables"] if (row["added"] or 0) > 0]
    fewer = sum(1 for row in written["tables"] if (row["added"] or 0) < 0)
    other = sum(1 for row in written["tables"] if row["changed"] and row["added"] == 0)
    unknown = sum(1 for row in written["tables"] if row["how"] == "unknown")
    largest = ", ".join(f"{row['table']} {row['added']}" for row in sorted(more, key=_most_first)[:3])
    parts = [
        f"at least {_many(written['rows'], 'row')} ({written['how']}) in {_many(len(more), 'table')}",
        f"most in: {largest}" if largest else "",
        f"other rows or columns in {_many(other, 'table')}" if other else "",
        f"more rows then in {_many(fewer, 'table')}" if fewer else "",
        f"nothing known of {_many(unknown, 'table')} never analyzed" if unknown else "",
    ]
    return "; ".join(part for part in parts if part) + "."


def _most_first(row: dict[str, Any]) -> int:
    return -int(row["added"])


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def confirm(session: Session, plan: RollbackPlan, loss: str, given: str) -> None:
    """Go on only if whoever decided it has given the name of the release that goes.

    Raises:
        Refusal: deploy.L042, exit code 2.
    """
    if given != plan.release:
        raise Refusal(
            RESTORE_NOT_CONFIRMED(
                release=plan.release,
                target=plan.target,
                database=backup.database_name(session.conf),
                backup=plan.backup,
                loss=f"that loses {loss}",
            ),
            exit_code=EXIT_USAGE,
        )


def keep_out(session: Session, plan: RollbackPlan, step: Step, guard: Guard) -> None:
    """Switch maintenance on and wait until every process knows: what is written then would be lost."""
    if not require_installed(session, step):
        return
    eta = _estimate(plan)
    on = state.begin(
        session.conf,
        session.bucket,
        TEXT,
        expected_end=datetime.now(UTC) + eta if eta else None,
        rollback_of=plan.release,
        guard=guard,
    )
    step.facts["expected_end"] = on.expected_end.isoformat(timespec="seconds") if on.expected_end else None
    since = (datetime.now(UTC) - on.since).total_seconds()
    known_everywhere = session.conf.maintenance.refresh_seconds + _ANSWER_SECONDS
    time.sleep(min(known_everywhere, max(0.0, known_everywhere - since)))


def _estimate(plan: RollbackPlan) -> timedelta | None:
    """Twice what a proof of this very backup took to restore it: it is measured again under the live load."""
    assert plan.manifest is not None  # noqa: S101 – the way is "restore"
    measured = [proof.rto_seconds for proof in plan.manifest.proofs if proof.rto_seconds]
    return timedelta(seconds=60 + 2 * measured[-1]) if measured else None


def let_in(session: Session, plan: RollbackPlan, report: Report, guard: Guard, *, by_hand: bool) -> None:
    """Switch this rollback's own maintenance off, unless it is a person who still has to move the traffic."""
    on = state.current(session.conf, session.bucket)
    if on is None or on.rollback_of != plan.release:
        return
    with report.step("maintenance off") as step:
        if by_hand:
            step.add(MAINTENANCE_STAYS(target=plan.target))
            return
        state.end(session.conf, session.bucket, rollback_of=plan.release, guard=guard)


def compare_infrastructure(session: Session, history: History, plan: RollbackPlan, step: Step) -> None:
    """Facts `infrastructure`: the generation of the Terraform state that each release's backup noted."""
    found = {}
    for key, name in (("target", plan.target), ("release", plan.release)):
        release = history.releases.get(name)
        record = body(session.ledger, release, PREPARED) if release else {}
        found[key] = _generation(session, str(record.get("backup") or ""))
    if found["target"] is None and found["release"] is None:
        step.facts["infrastructure"] = None
        return
    step.facts["infrastructure"] = {"terraform_generation": found}
    if found["target"] != found["release"]:
        ours, theirs = (found[key] or "one that was not noted" for key in ("release", "target"))
        step.add(INFRASTRUCTURE(release=plan.release, target=plan.target, ours=ours, theirs=theirs))


def _generation(session: Session, backup_id: str) -> int | None:
    if not backup_id:
        return None
    try:
        manifest = backup.read_manifest(session.conf, session.bucket, backup_id)
    except (Refusal, BucketError):
        return None  # nothing that a way back of code and data depends on; it is told as not noted
    noted = [one.facts.get("terraform_generation") for one in manifest.companions]
    return next((int(generation) for generation in noted if generation), None)
