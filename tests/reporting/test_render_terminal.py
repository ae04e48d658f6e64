"""The live view on a real pseudo-terminal; what is left on it is read back."""

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
from deploy.reporting.output import Output
from deploy.reporting.renderers import choose
from tests.reporting.sample import sample_report
from deploy.reporting.report import Report
renderer = choose("auto", Output(sys.stdout))
if "answer" in sys.argv:
    report = Report("restoredb", listener=renderer)
    with report.step("plan") as step:
        step.facts.update(live="optifit", kept_as="optifit_before_20261123T131850", rows=51000, image="")
        step.facts.update(checked=True, backup="20261123T131850123Z-release-2026-11-23-3f2c1a")
    report.finish()
elif len(sys.argv) > 1:
    report = Report("backupdb", listener=renderer)
    with report.step("dump") as step:
        for done in range(14):
            step.progress(done * 1e6, 14e6, unit="bytes", note="a_table")
            time.sleep(0.1)
    report.finish()
else:
    report = sample_report(renderer)
renderer.finish(report)
"""
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*arguments: str, columns: int = 100, **environment: str) -> str:
    """Everything that was written to the terminal."""
    master, slave = pty.openpty()
    written = bytearray()

    def drain() -> None:
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # EIO: the last writer is gone
                return
            if not block:
                return
            written.extend(block)

    reader = threading.Thread(target=drain)
    try:
        reader.start()
        subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "TERM": "xterm-256color",
                "COLUMNS": str(columns),
                "LINES": "40",
                "PYTHONUTF8": "1",
                **environment,
            },
            stdin=slave,
            stdout=slave,
            stderr=slave,
            timeout=60,
            check=True,
        )
    finally:
        os.close(slave)
        reader.join(10)
        os.close(master)
    return written.decode()


@pytest.fixture(scope="module")
def shown() -> str:
    return on_terminal()


def text_of(shown: str) -> str:
    return ANSI.sub("", shown).replace("\r\n", "\n")


def test_shows_a_line_per_step_and_a_verdict(shown):
    text = text_of(shown)
    assert re.search(r"✓ preflight: disk  4 ms  free 5\.3 GB\n", text)
    assert re.search(r"✓ backup  \d+ ms  size 1\.5 MB, sha256 abababababab\n", text)
    assert re.search(r"– static  \d+ ms  skipped: already proved\n", text)
    assert re.search(r"✗ gate  \d+ ms\n", text)
    assert text.endswith("✗ predeploy r1: refused (exit 1), 1 error and 2 warnings in 1 min 15 s\n")


def test_shows_lists_as_tables(shown):
    assert re.search(r"    releases:\n      release  size\s*\n      r1       10 B", text_of(shown))


@pytest.mark.parametrize("columns", [80, 30])
def test_facts_too_long_for_the_line_stand_below_and_none_is_cut(columns):
    text = text_of(on_terminal("answer", columns=columns))
    assert "…" not in text
    assert re.search(r"✓ plan  \d+ ms\n    live +optifit *\n    kept as +optifit_before_", text)
    assert re.search(r"\n    checked +yes *\n    backup +20261123T", text)
    assert "image" not in text
    assert "20261123T131850123Z-release-2026-11-23-3f2c1a" in re.sub(r"\n +", "", text).replace(" ", "")


def test_facts_that_fit_stay_on_the_line():
    text = text_of(on_terminal("answer", columns=160))
    assert re.search(
        r"✓ plan  \d+ ms  live optifit, kept as \S+, rows 51,000, checked yes, backup 2026", text
    )


def test_hints_can_be_pasted_also_from_a_narrow_terminal():
    text = text_of(on_terminal(columns=24))
    assert "    → gcloud storage ls gs://b\n" in text
    assert "    operations = [\n        AddField('order', 'note'),\n    ]\n" in text


def test_shows_a_spinner_a_bar_and_a_rate_while_a_long_step_runs():
    shown = on_terminal("long")
    text = text_of(shown)
    assert re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", text)
    assert "━" in text
    assert re.search(r"\d\.\d MB of 14\.0 MB, a_table · \d+\.\d MB/s · \d\.\d s left", text)
    assert text.rstrip().splitlines()[-1].startswith("✓ backupdb: done in")


def test_colours_only_where_they_are_welcome(shown):
    assert "\x1b[32m" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[1-6]m", on_terminal(NO_COLOR="1"))


def test_a_dumb_terminal_gets_plain_lines():
    shown = on_terminal(TERM="dumb")
    assert "▶ backup" in shown
    assert "\x1b" not in shown
