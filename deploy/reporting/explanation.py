"""What a finding's type adds to it: the lock, what the judgement depends on, the page. Looked up by id."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .findings import Finding, FindingType, registry

# Areas whose findings have a page each: those that need an example.
PAGED = frozenset("M")
PAGES = "docs/reference/findings"
_MODE = re.compile(r"[A-Z]{2,}(?: [A-Z]{2,})*")
_AS_SAID = "The one that the message names"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of all findings of a type; a text that is empty has nothing to say."""

    lock: str = ""
    depends: str = ""
    page: str = ""

    def facts(self) -> list[tuple[str, str]]:
        """Those that are there, with their names as people read them."""
        named = (("Lock", self.lock), ("Depends on", self.depends), ("Page", self.page))
        return [(name, text) for name, text in named if text]


def explain(finding: Finding) -> Explanation:
    """The explanation of the finding's type; an empty one for a type that this process has not declared."""
    kind = registry().get(finding.id)
    return explain_type(kind) if kind else Explanation()


def explain_type(kind: FindingType) -> Explanation:
    """`page` is a path from the top of deploy's own repository."""
    page = f"{PAGES}/{kind.short_id}.md" if kind.short_id[0] in PAGED else ""
    return Explanation(kind.lock, kind.depends, page)


def lock_line(finding: Finding) -> str:
    """The first sentence on the lock, for a line below the finding; empty where its message tells it."""
    lock = explain(finding).lock
    mode = _MODE.search(lock)
    if lock.startswith(_AS_SAID) or (mode and mode[0] in finding.message):
        return ""
    return re.split(r"(?<=[.;:]) ", lock)[0].rstrip(".;:")
