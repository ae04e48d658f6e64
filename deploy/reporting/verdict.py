"""The last line of every report for people: what came of it."""

from __future__ import annotations

from .facts import human_seconds
from .report import EXIT_LOCKED, EXIT_OK, EXIT_REFUSED, Report, Step

_MEANING = {
    EXIT_OK: "done",
    EXIT_REFUSED: "refused",
    EXIT_LOCKED: "another deploy holds the lock",
    129: "interrupted",
    130: "interrupted",
    143: "interrupted",
}


def verdict(report: Report) -> str:
    """`predeploy 1a2b3c: refused (exit 1), 2 errors and 1 warning in 3.1 s`."""
    name = f"{report.command} {report.release}" if report.release else report.command
    meaning = _MEANING.get(report.exit_code, "could not run")
    code = f" (exit {report.exit_code})" if report.exit_code else ""
    counts = []
    for level in ("error", "warning"):
        if number := sum(finding.level == level for finding in report.findings):
            counts.append(f"{number} {level}{'s' if number > 1 else ''}")
    found = f", {' and '.join(counts)}" if counts else ""
    return f"{name}: {meaning}{code}{found} in {human_seconds(report.seconds)}"


def state(step: Step) -> str:
    """`ok`, `failed` or `skipped`."""
    if not step.ok:
        return "failed"
    return "skipped" if step.skipped else "ok"
