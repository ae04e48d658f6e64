"""This machine's clock against another's."""

from __future__ import annotations

from datetime import datetime

from deploy.reporting.findings import Finding, FindingType, Level

CLOCK_SKEW = FindingType(
    "deploy.P050",
    "warning",
    "This machine's clock is {seconds:.0f} seconds {direction} {other}'s.",
    "timedatectl set-ntp true",
    why="The deploy lock's expiry and signed requests compare times of several machines.",
)

_WARN_SECONDS = 5.0
# Half of the lock's default time to live: beyond it a live owner could look dead.
_ERROR_SECONDS = 30.0


def skew(before: datetime, theirs: datetime, after: datetime, other: str) -> list[Finding]:
    """Their time, asked for between `before` and `after` (UTC all three), should lie between them."""
    ahead = (before - theirs).total_seconds()
    behind = (theirs - after).total_seconds()
    seconds = max(ahead, behind, 0.0)
    if seconds < _WARN_SECONDS:
        return []
    level: Level = "error" if seconds >= _ERROR_SECONDS else "warning"
    direction = "ahead of" if ahead > behind else "behind"
    return [CLOCK_SKEW(seconds=seconds, direction=direction, other=other, level=level)]
