"""`releases fail`: a rollout gave a release up before the switch, which predeploy can not know."""

from __future__ import annotations

import re

from deploy.conf import NAME, RELEASE_INVALID
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.output import printable
from deploy.reporting.redaction import redact
from deploy.reporting.report import Report

from .history import FAILED, body, read_history
from .session import Session

ROLLOUT_FAILED = FindingType(
    "deploy.L067",
    "error",
    "The rollout of release {release} stopped at {step}: {reason}",
    "python manage.py releases show {release}",
)
STILL_LIVE = FindingType(
    "deploy.L068",
    "info",
    "Release {release} is {status} and stays so; only this attempt to roll it out failed.",
    "python manage.py releases list",
)
FAILURE_UNTOLD = FindingType(
    "deploy.L069",
    "error",
    "The {what} of the failure is {value!r}; it must be {wanted}.",
    "python manage.py releases fail {release} --step health --reason 'never ready: 500 from /readyz'",
)

LONGEST_REASON = 2000
_STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}\Z")
_SETTLED = ("live", "superseded", "rolled-back")


def record_failure(session: Session, report: Report, release: str, *, step: str, reason: str) -> None:
    """Append to the ledger that the rollout of `release` failed at `step`; once, however often it is called.

    The release need not be known: its image may not even have been pulled. `reason` is cut to its first 2000
    characters.

    Raises:
        Refusal: deploy.C006, deploy.L069 (exit code 2), deploy.L001 (75).
    """
    if not NAME.match(release):
        raise Refusal(RELEASE_INVALID(release=release, reason="only letters, digits, '.', '_' and '-'"))
    if not _STEP.match(step):
        wanted = "one of the rollout's steps, 1 to 60 letters and digits"
        raise Refusal(FAILURE_UNTOLD(what="step", value=step[:80], wanted=wanted, release=release))
    told = redact(printable(reason)).strip()  # before it is cut: half a secret is not found any more
    if not told:
        raise Refusal(FAILURE_UNTOLD(what="reason", value=reason[:80], wanted="a text", release=release))
    told = told if len(told) <= LONGEST_REASON else f"{told[: LONGEST_REASON - 1]}…"
    report.release = release
    with session.locked(report, "releases fail") as guard, report.step("record") as done:
        known = read_history(session.ledger).releases.get(release)
        done.extend(session.ledger.findings)
        done.facts.update(release=release, step=step, reason=told)
        if known and known.status in _SETTLED:
            done.add(STILL_LIVE(release=release, status=known.status))
        elif known and known.status == "failed":
            last = body(session.ledger, known, FAILED)
            if (last.get("step"), last.get("reason")) == (step, told):
                done.skip("it is recorded already")
                return
            # Predeploy records its own refusal with its findings; a rollout only knows that it said no.
            if "reason" not in last and known.seqs[FAILED] == max(known.seqs.values()):
                done.skip(f"predeploy has recorded why, at {last.get('step')}")
                return
        finding = ROLLOUT_FAILED(release=release, step=step, reason=told)
        data = {"step": step, "reason": told, "findings": [finding.as_dict()]}
        session.ledger.append(FAILED, release, data, guard=guard)
