"""`announce`: say it, and where it was asked for, keep people out meanwhile.

Maintenance is switched before the notice of it is written, and switched off before it is resolved: a run that
is killed between the two has done what matters, and the same command again does the rest.
"""

from __future__ import annotations

from typing import Any

from deploy.maintenance import state
from deploy.maintenance.state import Maintenance
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Report, Step

from . import notices
from .notices import NO_NOTICE, Draft, Notice
from .session import Session

NOT_INSTALLED = FindingType(
    "deploy.L076",
    "warning",
    "Maintenance keeps nobody out: its middleware is not in MIDDLEWARE.",
    'Add "deploy.maintenance.middleware.MaintenanceMiddleware" after AuthenticationMiddleware in MIDDLEWARE.',
)
NOT_WITH_STAFF = FindingType(
    "deploy.L077",
    "error",
    "Maintenance shows its text to everybody, and this notice is for staff.",
    'python manage.py announce "text" --eta 30m --maintenance',
)


def announce(session: Session, report: Report, draft: Draft, *, maintenance: bool, dry_run: bool) -> None:
    """Announce, and with `maintenance` switch it on (or change its text and estimate).

    Raises:
        Refusal: deploy.L077, deploy.K002, deploy.L011, deploy.L012.
    """
    if maintenance and draft.audience != "users":
        raise Refusal(NOT_WITH_STAFF())
    if maintenance:
        with report.step("maintenance") as step:
            require_installed(session, step)
            known = state.current(session.conf, session.bucket)
            if not dry_run:
                known = state.begin(session.conf, session.bucket, draft.text, expected_end=draft.expected_end)
                step.facts["everywhere_within_seconds"] = session.conf.maintenance.refresh_seconds
            _show(step, known)
    with report.step("notices") as step:
        if dry_run:
            step.facts.update(draft.as_dict(), would_switch_maintenance_on=maintenance)
            return
        _list(step, [notices.announce(session.ledger, draft, release=session.identity.name)])


def resolve(session: Session, report: Report, *, dry_run: bool) -> None:
    """Switch maintenance off and end every notice in force.

    Raises:
        Refusal: deploy.L052 when there is neither; deploy.K002, deploy.L011, deploy.L012.
    """
    with report.step("maintenance") as step:
        known = state.current(session.conf, session.bucket)
        if known is None:
            step.skip("maintenance is not on")
        elif not dry_run:
            state.end(session.conf, session.bucket)
        _show(step, known, now="on" if dry_run else "switched off")
    with report.step("notices") as step:
        ended = notices.in_force(session.ledger)
        if not ended and known is None:
            raise Refusal(NO_NOTICE())
        if not dry_run:
            ended = notices.resolve(session.ledger, release=session.identity.name)
        step.facts["would_resolve" if dry_run else "resolved"] = len(ended)
        _list(step, ended)


def list_in_force(session: Session, report: Report) -> None:
    """The notices in force, and the maintenance that is on."""
    with report.step("maintenance") as step:
        known = state.current(session.conf, session.bucket)
        if known is None:
            step.skip("maintenance is not on")
        else:
            require_installed(session, step)
        _show(step, known)
    with report.step("notices") as step:
        _list(step, notices.in_force(session.ledger))


def require_installed(session: Session, step: Step) -> bool:
    """Whether maintenance keeps anybody out; a warning where it doesn't."""
    if not session.conf.maintenance.installed:
        step.add(NOT_INSTALLED())
    return session.conf.maintenance.installed


def _show(step: Step, known: Maintenance | None, *, now: str = "on") -> None:
    """The maintenance that is on, or was until now."""
    if known is None:
        return
    step.facts["maintenance"] = now
    shown: dict[str, Any] = known.as_dict()
    for name in ("text", "since", "expected_end", "by", "rollback_of"):
        if shown[name]:
            step.facts[name] = shown[name]


def _list(step: Step, shown: list[Notice]) -> None:
    step.facts["notices"] = [notice.as_dict() for notice in shown]
