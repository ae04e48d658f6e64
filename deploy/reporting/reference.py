"""The reference of findings, made from the code: python -m deploy.reporting.reference [FILE]

Writes Markdown to FILE, or to standard output. A test keeps docs/reference/findings.md equal to it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from .findings import FindingType, registry

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
    page = markdown(declared())
    if arguments:
        Path(arguments[0]).write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)


def _entry(kind: FindingType) -> str:
    lines = [f"### {kind.id}\n", f"**{kind.level}** {_plain(kind.message)}\n"]
    if kind.why:
        lines.append(f"{kind.why}\n")
    if kind.hint:
        hint = _plain(kind.hint).strip("\n")
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", hint)), default=0))
        lines.append(f"{fence}\n{hint}\n{fence}\n")
    return "\n".join(lines)


def _plain(template: str) -> str:
    """The template as it reads: doubled braces single, conversions and formats (`{key!r}`) left out."""
    return re.sub(
        r"\{\{|\}\}|\{(\w+)[^{}]*\}", lambda m: m[0][0] if m[1] is None else f"{{{m[1]}}}", template
    )


if __name__ == "__main__":
    main(sys.argv[1:])
