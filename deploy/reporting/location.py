"""Where in the source a finding is, for those who show it beside the code (GitHub, SARIF)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .findings import Finding

_FILE_LINE = re.compile(r"^(?P<file>[^:\s][^:]*\.\w+):(?P<line>\d+)$")


@dataclass(frozen=True, slots=True)
class Location:
    """A line (from 1) of a file; `path` has forward slashes and is relative to the top of the work tree."""

    path: str
    line: int


Locate = Callable[[Finding], Location | None]


def by_place(finding: Finding) -> Location | None:
    """The location of a finding whose place is `file:line`; None for any other."""
    match = _FILE_LINE.match(finding.place or "")
    return Location(match["file"], int(match["line"])) if match else None


def top_of(folder: Path) -> Path:
    """The top of the work tree around `folder`, links resolved; `folder` itself where there is none."""
    folder = folder.resolve()
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)
