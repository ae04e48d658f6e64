from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.conf import DeployConf
from deploy.releases.identity import identify, source_fingerprint


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    (path / "manage.py").write_text("print(1)\n")
    return path


def _git(path: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    git = shutil.which("git") or "git"
    subprocess.run([git, "-C", str(path), *who, *arguments], check=True, capture_output=True)


def test_the_given_name_wins(conf: DeployConf, tree: Path) -> None:
    assert identify(replace(conf, release="v1", base_dir=tree)).name == "v1"


def test_without_git_it_is_a_fingerprint_of_the_source(conf: DeployConf, tree: Path) -> None:
    before = identify(replace(conf, release=None, base_dir=tree))
    (tree / ".deploy").mkdir()
    (tree / ".deploy" / "x.py").write_text("not source")
    (tree / "db.sqlite3").write_text("not source")
    assert identify(replace(conf, release=None, base_dir=tree)) == before
    assert before.name == f"src-{source_fingerprint(tree)[:16]}"
    (tree / "manage.py").write_text("print(2)\n")
    assert identify(replace(conf, release=None, base_dir=tree)) != before


def test_a_clean_work_tree_is_its_commit_and_a_changed_one_is_not(conf: DeployConf, tree: Path) -> None:
    _git(tree, "init", "-q")
    _git(tree, "add", ".")
    _git(tree, "commit", "-qm", "x")
    conf = replace(conf, release=None, base_dir=tree)
    clean = identify(conf)
    assert clean.name == clean.commit
    assert len(clean.commit) == 40
    (tree / "manage.py").write_text("print(3)\n")
    changed = identify(conf)
    assert changed.name.startswith(f"{clean.commit[:12]}-src-")
    assert changed.commit == clean.commit


def test_preparing_a_release_does_not_rename_it(conf: DeployConf, tree: Path) -> None:
    _git(tree, "init", "-q")
    _git(tree, "add", ".")
    _git(tree, "commit", "-qm", "x")
    conf = replace(conf, release=None, base_dir=tree)
    clean = identify(conf)
    for name in (".deploy/bucket/x", "app/__pycache__/x.pyc", "__pycache__/x.pyc"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    for name in ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3.migrate-lock"):
        (tree / name).touch()
    assert identify(conf) == clean
    (tree / "app" / "new.py").touch()
    assert identify(conf).name.startswith(f"{clean.commit[:12]}-src-")
