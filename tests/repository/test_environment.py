"""bin/venv and bin/environment.py: one environment, made once, whatever happened to the one before."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """#!/bin/sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
. "$root/bin/venv"
ensure_venv "$1"
echo "$python"
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    """A repository with bin/ and lock files that lock nothing, in a folder with a space."""
    root = tmp_path / "a clone"
    (root / "bin").mkdir(parents=True)
    for name in ("venv", "environment.py"):
        shutil.copy(ROOT / "bin" / name, root / "bin" / name)
    (root / "bin" / "go").write_text(SCRIPT)
    for name in ("requirements-demo.txt", "requirements-dev.txt"):
        (root / name).write_text(f"# {name}\n")
    return root


def start(root: Path, lock_file: str = "requirements-dev.txt") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(root / "bin" / "go"), lock_file],  # noqa: S607 – from PATH
        cwd="/",
        env={"PATH": f"{Path(sys.executable).resolve().parent}:{os.defpath}", "HOME": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def go(root: Path, lock_file: str = "requirements-dev.txt") -> tuple[str, str]:
    process = start(root, lock_file)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.strip() == str(root / ".venv" / "bin" / "python")
    return out, err


def made(root: Path) -> int:
    """Changes when the environment is made anew."""
    return (root / ".venv" / "pyvenv.cfg").stat().st_mtime_ns


def test_is_made_once_serves_the_demo_too_and_anew_for_another_lock_file(clone):
    assert "Installing requirements-dev.txt" in go(clone)[1]
    before = made(clone)
    began = time.monotonic()
    assert go(clone)[1] == ""
    assert time.monotonic() - began < 2
    assert go(clone, "requirements-demo.txt")[1] == ""
    assert made(clone) == before

    (clone / "requirements-dev.txt").write_text("# another set\n")
    assert "Installing" in go(clone)[1]
    assert made(clone) != before


def test_two_at_once_make_it_once_and_a_killed_one_is_made_anew(clone):
    killed = start(clone)
    while not (clone / ".venv" / "pyvenv.cfg").exists():
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (clone / ".venv" / ".requirements-dev.txt.sha256").exists()

    first, second = start(clone), start(clone)
    told = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert sorted(told)[0] == ""
    assert "Installing" in sorted(told)[1]


def test_an_old_python_is_named_with_what_to_install(clone, tmp_path):
    path = tmp_path / "path"
    path.mkdir()
    (path / "dirname").symlink_to(shutil.which("dirname"))
    (path / "python3").write_text("#!/bin/sh\nexit 1\n")  # what the question for 3.11 ends with
    (path / "python3").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(clone / "bin" / "go"), "requirements-dev.txt"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "Python 3.11 or newer was not found (tried python3, python3.14 to python3.11 on PATH).\n"
        "    apt-get install python3 python3-venv\n"
    )
    assert not (clone / ".venv").exists()
