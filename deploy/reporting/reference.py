"""The reference of findings, made from the code: python -m deploy.reporting.reference [FILE]

Writes Markdown to FILE, or to standard output; beside FILE, in a folder of its name, a page for each finding
of the areas in `PAGED`. A test keeps docs/reference/findings.md and its pages equal to it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from .explanation import PAGED
from .findings import FindingType, as_read, registry

AREAS = {
    "A": "Static files",
    "B": "Backup and restore",
    "C": "Configuration",
    "D": "Databases and their tools",
    "H": "Health",
    "K": "Buckets",
    "L": "Ledger, lock and releases",
    "M": "Migrations",
    "N": "Notices",
    "P": "Preflight",
    "R": "Commands and reports",
    "S": "Smoke test",
}
_HEAD = """\
# Findings

Every check, rule, probe and refusal of `deploy` has a stable id. What is in braces is filled with the value
that was found. An **error** makes a gate say no (exit code 1 or 2); a **warning** and an **info** don't.

This page is made from the code: `python -m deploy.reporting.reference docs/reference/findings.md`
"""


def markdown(types: Iterable[FindingType]) -> str:
    """The page for these finding types."""
    parts = [_HEAD]
    ordered = sorted(types, key=lambda kind: kind.id)
    for letter, group in groupby(ordered, key=lambda kind: kind.id.removeprefix("deploy.")[0]):
        parts.append(f"## {AREAS.get(letter, letter)}\n")
        parts += [_entry(kind) for kind in group]
    return "\n".join(parts)


def pages(types: Iterable[FindingType]) -> dict[str, str]:
    """File name → Markdown of the pages that these finding types have."""
    return {
        f"{kind.short_id}.md": _page(kind)
        for kind in sorted(types, key=lambda kind: kind.id)
        if kind.short_id[0] in PAGED
    }


def declared() -> list[FindingType]:
    """Every finding type that `deploy` declares: all of its modules are imported for that.

    Needs Django's settings; `main` configures some.
    """
    import deploy

    for module in pkgutil.walk_packages(deploy.__path__, "deploy."):
        if not module.name.startswith("deploy.testing"):  # for tests: needs what only a test run has
            importlib.import_module(module.name)
    return list(registry().values())


def main(arguments: list[str]) -> None:
    """Write the page to the file that is named, or to standard output."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(INSTALLED_APPS=["deploy"], SECRET_KEY="of-no-use")  # noqa: S106 – nothing is signed
        django.setup()
    types = declared()
    if arguments:
        index = Path(arguments[0])
        index.write_text(markdown(types), encoding="utf-8")
        write_pages(index.with_suffix(""), pages(types))
    else:
        sys.stdout.write(markdown(types))


def write_pages(folder: Path, made: dict[str, str]) -> None:
    """Write the pages into `folder`, and remove those of findings that are gone."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, page in made.items():
        (folder / name).write_text(page, encoding="utf-8")


def _entry(kind: FindingType) -> str:
    lines = [f"### {kind.id}\n", f"**{kind.level}** {as_read(kind.message)}\n"]
    if kind.why:
        lines.append(f"{kind.why}\n")
    if kind.hint:
        lines.append(_fenced(as_read(kind.hint)))
    if kind.short_id[0] in PAGED:
        lines.append(f"[Page of {kind.id}](findings/{kind.short_id}.md)\n")
    return "\n".join(lines)


_LEVELS = {
    "error": "A gate says no (exit code 1 or 2).",
    "warning": "No gate stops for it; look at it.",
    "info": "Nothing to do but to know it.",
}


_EXAMPLES = "On top of an app `shop` whose models Customer and Order are in use:"


def _page(kind: FindingType) -> str:
    """The finding on a page of its own: fact, reason, what the database does, the danger, the safe way."""
    lines = [f"# {kind.id}\n", f"{as_read(kind.message)}\n", f"**{kind.level}** – {_LEVELS[kind.level]}\n"]
    if kind.why:
        lines.append(f"{kind.why}\n")
    facts = (("Lock", kind.lock), ("Depends on", kind.depends), ("Source", _link(kind.source)))
    if any(text for _, text in facts):
        lines.append("".join(f"- **{name}:** {text}\n" for name, text in facts if text))
    if kind.danger:
        lines += ["## The danger\n", f"{_EXAMPLES}\n", _fenced(kind.danger, "python")]
    if kind.safe:
        lines += ["## The safe way\n", _fenced(kind.safe, "python")]
    if kind.hint:
        lines += ["## The hint\n", _fenced(as_read(kind.hint))]
    lines.append(f"[All findings](../findings.md#{kind.id.replace('.', '').lower()})\n")
    return "\n".join(lines)


def _link(address: str) -> str:
    return f"<{address}>" if address else ""


def _fenced(text: str, language: str = "") -> str:
    text = text.strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


if __name__ == "__main__":
    main(sys.argv[1:])
