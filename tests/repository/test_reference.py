import os
import subprocess
import sys
from pathlib import Path

from deploy.reporting.findings import FindingType
from deploy.reporting.reference import markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/findings.md"
SAMPLE = FindingType(
    "deploy.X820",
    "error",
    "DEPLOY[{key!r}] is {size:.1f}.",
    'Set DEPLOY = {{"A": "`x`"}}:\n```\n{example}\n```',
    why="A reason.",
)


def test_the_reference_is_what_the_code_says():
    made = subprocess.run(
        [sys.executable, "-m", "deploy.reporting.reference"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert made == PAGE.read_text(encoding="utf-8"), (
        "run: python -m deploy.reporting.reference docs/reference/findings.md"
    )


def test_an_entry_shows_templates_as_they_read():
    assert markdown([SAMPLE]).endswith(
        "## X\n\n### deploy.X820\n\n**error** DEPLOY[{key}] is {size}.\n\nA reason.\n\n"
        '````\nSet DEPLOY = {"A": "`x`"}:\n```\n{example}\n```\n````\n'
    )
