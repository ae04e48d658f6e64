"""The demo is a promise: it is run whole, on a copy of this tree, and must leave nothing running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def copy() -> Iterator[Path]:
    # Not in pytest's own folder: as root the server runs as another user, and every pytest that starts on
    # this machine closes that folder to all others.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield _copied(Path(folder, "a folder with a space"))


def _copied(target: Path) -> Path:
    for name in ("bin", "deploy", "optifit", "docs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "manage.py", target)
    return target


def _running_in(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join([*process.cmdline(), process.cwd()]):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_every_act_ends_as_told_and_nothing_is_left_running(copy: Path) -> None:
    env = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, str(copy / "bin" / "story")],
        env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    log = copy / ".demo" / "postgres" / "log"
    server = log.read_text(errors="replace")[-4000:] if log.exists() else ""
    assert done.returncode == 0, f"{done.stdout[-9000:]}{done.stderr[-4000:]}\nPostgreSQL's log:\n{server}"
    assert "Every act ended as told" in done.stdout
    assert "deploy.M001" in done.stdout
    assert "db_default='en'" in done.stdout
    assert "0 failed" in done.stdout
    assert _running_in(copy) == []
