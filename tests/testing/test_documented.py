"""The tests in the how-to guide run as they stand there, in a project of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.releases.project import ROOT, make_project


def test_the_guides_tests_pass(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "how-to" / "test-your-deploy.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) == 3
    project = make_project(tmp_path / "site", engine="sqlite")
    settings = project.path / "mysite" / "settings.py"
    with settings.open("a") as file:
        # In memory, as Django would have it, there is nothing to back up.
        file.write('DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}\n')
    for number, block in enumerate(blocks):
        project.write(f"test_guide_{number}.py", block)
    project.write(
        "pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = mysite.settings\nfilterwarnings = error\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "."],
        cwd=project.path,
        env=project.env("r1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
