"""`check --since REF`: what a branch adds is pending, what Git had where it left is deployed."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import override_settings

from deploy.databases.scratch import database_alias
from deploy.gate.static.check import check
from deploy.gate.static.judgement import GateReport
from deploy.reporting.findings import Refusal

from .project import Shop, conf

DROP = 'migrations.RemoveField("order", "paid")'
ADD = 'migrations.AddField("order", "memo", models.TextField(null=True))'
INDEX = 'migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx"))'

Git = Callable[..., str]


def git_in(folder: Path) -> Git:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        argv = ["git", *who, "-C", str(folder), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    return git


@pytest.fixture
def git(app: Shop) -> Git:
    """The shop's first migration, committed on main; HEAD is on branch `feature`."""
    run = git_in(app.root)
    run("init", "--quiet", "--initial-branch=main")
    run("add", "--all")
    run("commit", "--quiet", "-m", "first")
    run("switch", "--quiet", "--create", "feature")
    return run


def since(app: Shop, ref: str) -> GateReport:
    """No database is asked: the suite's own has none of the name."""
    with database_alias("default", "there_is_no_such_database") as alias:
        return check(conf(base_dir=app.root), alias=alias, deployed=None, since=ref)


def test_what_the_branch_adds_is_judged_and_nothing_else(app: Shop, git: Git) -> None:
    committed = app.write("0002_drop", DROP)
    git("add", "--all")
    git("commit", "--quiet", "-m", "second")
    not_committed = app.write("0003_index", INDEX)
    report = since(app, "main")
    assert report.pending == (committed, not_committed)
    assert {finding.id for finding in report.findings} >= {"deploy.M002", "deploy.M010"}
    assert since(app, "HEAD").pending == (not_committed,)


def test_what_main_got_meanwhile_is_no_difference_to_the_branch(app: Shop, git: Git) -> None:
    app.write("0002_drop", DROP)
    git("add", "--all")
    git("commit", "--quiet", "-m", "on the branch")
    git("switch", "--quiet", "main")
    (app.root / "README").write_text("meanwhile")
    git("add", "--all")
    git("commit", "--quiet", "-m", "on main")
    git("switch", "--quiet", "feature")
    assert since(app, "main").pending == (("shop", "0002_drop"),)


def test_moved_migrations_are_not_new(app: Shop, git: Git) -> None:
    moved = app.root / app.package / "history"
    git("mv", f"{app.package}/migrations", f"{app.package}/history")
    assert (moved / "0001_initial.py").is_file()
    with override_settings(MIGRATION_MODULES={"shop": f"{app.package}.history"}):
        assert since(app, "main").pending == ()
        git("commit", "--quiet", "-m", "moved")
        assert since(app, "main").pending == ()


def test_a_squash_of_what_was_there_is_not_new(app: Shop, git: Git) -> None:
    app.write("0002_memo", ADD)
    git("add", "--all")
    git("commit", "--quiet", "-m", "second")
    folder = app.root / app.package / "migrations"
    replaces = '    replaces = [("shop", "0001_initial"), ("shop", "0002_memo")]\n    atomic'
    squash = (folder / "0001_initial.py").read_text().replace("    atomic", replaces)
    (folder / "0001_squashed.py").write_text(squash)
    (folder / "0001_initial.py").unlink()
    (folder / "0002_memo.py").unlink()
    assert since(app, "HEAD").pending == ()


def test_finds_the_repository_from_a_folder_inside_it(app: Shop, git: Git) -> None:
    key = app.write("0002_drop", DROP)
    report = check(conf(base_dir=app.root / app.package), alias="default", deployed=None, since="main")
    assert report.pending == (key,)


@pytest.mark.parametrize(
    "ref", ["", "nowhere", "--all", "--output=x", "main..HEAD", "a b", "main:x", "main\n"]
)
def test_refuses_what_is_no_commit(app: Shop, git: Git, ref: str) -> None:
    before = sorted(app.root.iterdir())
    with pytest.raises(Refusal) as caught:
        since(app, ref)
    assert ([finding.id for finding in caught.value.findings], caught.value.exit_code) == (["deploy.M111"], 2)
    assert sorted(app.root.iterdir()) == before


def test_a_tag_and_an_abbreviated_commit_will_do(app: Shop, git: Git) -> None:
    key = app.write("0002_drop", DROP)
    git("tag", "v1.0")
    for ref in ("v1.0", git("rev-parse", "--short", "HEAD"), "HEAD^{}", "refs/heads/main"):
        assert since(app, ref).pending == (key,)


def test_says_how_to_deepen_a_shallow_clone(app: Shop, git: Git, tmp_path: Path) -> None:
    """What a pull request's checkout has: one commit of it, and one of the branch that it goes to."""
    origin = tmp_path / "origin"
    git("clone", "--quiet", "--bare", str(app.root), str(origin))
    (app.root / "README").write_text("more")
    git("add", "--all")
    git("commit", "--quiet", "-m", "more")
    git("push", "--quiet", str(origin), "feature")
    shutil.rmtree(app.root / ".git")
    git("init", "--quiet")
    git("fetch", "--quiet", "--depth=1", f"file://{origin}", "feature:feature")
    git("checkout", "--quiet", "--force", "feature")
    git("fetch", "--quiet", "--depth=1", f"file://{origin}", "main:main")
    with pytest.raises(Refusal) as caught:
        since(app, "main")
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M112"
    assert "the clone is shallow" in finding.message
    assert "fetch-depth: 0" in finding.hint


def test_says_that_there_is_no_repository(app: Shop) -> None:
    with pytest.raises(Refusal) as caught:
        since(app, "main")
    (finding,) = caught.value.findings
    assert (finding.id, caught.value.exit_code) == ("deploy.M110", 2)
    assert "not a git repository" in finding.message


def test_says_that_there_is_no_git(app: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(Refusal) as caught:
        since(app, "main")
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M110"
    assert "no git on the PATH" in finding.message
