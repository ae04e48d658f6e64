"""What the documents point at is there."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:\s]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_readme_names_every_command_and_no_other():
    ours = {name for name, app in get_commands().items() if app == "deploy"}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("## What are you trying to do?")[2].partition("\n## ")[0]
    named = set(
        re.findall(r"`(?:python manage\.py )?([a-z]+)(?: [^`]*)?`", table.partition("\n\nEach takes")[0])
    )
    assert named - {"show", "diff", "lock", "unlock"} == ours


def test_the_changelog_says_what_is_unreleased():
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
