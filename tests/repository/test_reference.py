import os
import subprocess
import sys
from pathlib import Path

from deploy.reporting.findings import FindingType
from deploy.reporting.reference import markdown, pages, write_pages

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/findings.md"
SAMPLE = FindingType(
    "deploy.X820",
    "error",
    "DEPLOY[{key!r}] is {size:.1f}.",
    'Set DEPLOY = {{"A": "`x`"}}:\n```\n{example}\n```',
    why="A reason.",
)
EXPLAINED = FindingType(
    "deploy.M820",
    "warning",
    "{index!r} is built.",
    "do",
    lock="SHARE",
    danger="a\n",
    safe="b\n",
    source="https://example.org/",
)


def test_the_reference_and_its_pages_are_what_the_code_says(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "deploy.reporting.reference", str(tmp_path / PAGE.name)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        timeout=60,
        check=True,
    )
    assert texts(tmp_path) == texts(PAGE.parent), (
        "run: python -m deploy.reporting.reference docs/reference/findings.md"
    )


def texts(folder):
    """File name → text of the index and its pages."""
    paths = [folder / "findings.md", *(folder / "findings").iterdir()]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}


def test_pages_of_findings_that_are_gone_are_removed(tmp_path):
    write_pages(tmp_path, {"M820.md": "x\n", "M821.md": "y\n"})
    write_pages(tmp_path, {"M821.md": "z\n"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"M821.md": "z\n"}


def test_a_page_has_what_the_rule_says():
    (page,) = pages([EXPLAINED, SAMPLE]).values()
    assert page == (
        "# deploy.M820\n\n{index} is built.\n\n**warning** – No gate stops for it; look at it.\n\n"
        "- **Lock:** SHARE\n- **Source:** <https://example.org/>\n\n"
        "## The danger\n\nOn top of an app `shop` whose models Customer and Order are in use:\n\n"
        "```python\na\n```\n\n## The safe way\n\n```python\nb\n```\n\n"
        "## The hint\n\n```\ndo\n```\n\n[All findings](../findings.md#deploym820)\n"
    )


def test_an_entry_shows_templates_as_they_read():
    assert markdown([SAMPLE]).endswith(
        "## X\n\n### deploy.X820\n\n**error** DEPLOY[{key}] is {size}.\n\nA reason.\n\n"
        '````\nSet DEPLOY = {"A": "`x`"}:\n```\n{example}\n```\n````\n'
    )
