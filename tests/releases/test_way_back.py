"""The way back stays true after runs that ended half-way, and after evidence that can't be read."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from .project import NOTE, Project, drop_database, live_with_a_note, make_project, step_of

STOCK = "    stock = models.IntegerField(null=True)\n"
NULLABLE = "SELECT is_nullable FROM information_schema.columns WHERE column_name = 'note'"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path / "site", engine="postgresql")
    live_with_a_note(made)
    yield made
    drop_database(made)


def _run(project: Project, statement: str) -> None:
    with psycopg.connect(project.database) as database:
        database.execute(statement.encode())


def _forget_note(project: Project) -> None:
    project.migration(
        "0003_forget_note", before="0002_note", operations='migrations.RemoveField("product", "note")'
    )
    project.migration(
        "0004_trip",
        before="0003_forget_note",
        operations="migrations.RunSQL('CREATE TABLE trip ()', 'DROP TABLE trip')",
    )


def test_a_postdeploy_that_ended_half_way_keeps_the_first_backup_as_the_way_back(project: Project) -> None:
    _forget_note(project)
    report = project.report("predeploy", release="r2")
    assert len(step_of(report, "gate")["facts"]["contract"]) == 2
    _run(project, "CREATE TABLE trip ()")
    project.report("postdeploy", release="r2", expect=1)
    _run(project, "DROP TABLE trip")
    project.report("postdeploy", release="r2")

    plan = step_of(project.report("rollback", "--yes-restore", "r2", release="r2"), "plan")["facts"]
    assert plan["way"] == "restore"
    assert project.query("SELECT name, note FROM shop_product") == [("kept", "precious")]


def test_a_live_release_that_is_predeployed_again_still_leaves_contract_to_postdeploy(
    project: Project,
) -> None:
    project.migration(
        "0003_note_required",
        before="0002_note",
        operations='migrations.AlterField("product", "note", models.TextField(default=""))',
        fields='    note = models.TextField(default="")\n',
    )
    project.report("predeploy", release="r2")
    # postdeploy is cut off after `live`, before the contract migrations: its backup has no room.
    tools = project.path / "nothing"
    tools.mkdir()
    settings = project.path / "mysite" / "settings.py"
    good = settings.read_text()
    settings.write_text(good + f"\nDEPLOY = {{'PG_BIN': {str(tools)!r}}}\n")
    project.start("postdeploy", release="r2").communicate(timeout=60)
    settings.write_text(good)
    assert project.status("r2") == "live"
    assert project.query(NULLABLE) == [("YES",)]

    report = project.report("predeploy", release="r2")
    assert step_of(report, "gate")["facts"]["contract"] == ["shop.0003_note_required"]
    assert project.query(NULLABLE) == [("YES",)]
    project.report("postdeploy", release="r2")
    plan = step_of(project.report("rollback", "--dry-run", release="r2"), "plan")["facts"]
    assert plan["way"] == "reverse"


def test_an_older_release_does_not_pass_on_a_schema_that_it_does_not_know(project: Project) -> None:
    _forget_note(project)
    project.report("predeploy", release="r2")
    project.report("postdeploy", release="r2")
    for name in ("0003_forget_note", "0004_trip"):
        (project.path / "shop" / "migrations" / f"{name}.py").unlink()
    shutil.rmtree(project.path / "shop" / "migrations" / "__pycache__", ignore_errors=True)
    project.write("shop/models.py", (project.path / "shop/models.py").read_text() + NOTE)
    report = project.report("predeploy", release="r1", expect=1)
    assert "deploy.M047" in {finding["id"] for finding in report["steps"][-1]["findings"]}


@pytest.mark.parametrize("way", ["reverse", "restore"])
def test_a_rollback_killed_after_its_database_work_is_done_once_when_run_again(
    project: Project, way: str
) -> None:
    if way == "restore":
        _forget_note(project)
    else:
        project.migration(
            "0003_note_required",
            before="0002_note",
            operations='migrations.AlterField("product", "note", models.TextField(default=""))',
            fields='    note = models.TextField(default="")\n',
        )
    project.report("predeploy", release="r2")
    project.report("postdeploy", release="r2")
    kill = (
        "import os, pathlib; p = pathlib.Path('killed'); p.exists() or (p.touch(), os.kill(os.getppid(), 9))"
    )
    settings = project.path / "mysite" / "settings.py"
    switch = [sys.executable, "-c", kill]
    settings.write_text(f"{settings.read_text()}\nDEPLOY = {{'LOCK_TTL_SECONDS': 1, 'SWITCH': {switch!r}}}\n")
    name = project.database.rpartition("=")[2]
    command = ("rollback", "--release", "r2", "--yes-restore", "r2")
    run = project.start(*command, release="r2")
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert project.status("r2") == "live"

    project.report(*command, "--wait-for-lock", "5", release="r2")
    project.report(*command, release="r2")
    assert project.status("r1") == "live"
    assert project.status("r2") == "rolled-back"
    assert project.query(NULLABLE) == [("YES",)]
    assert project.query("SELECT name, note FROM shop_product") == [("kept", "precious")]
    put_aside = [one for one in project.databases() if one.startswith(name) and one != name]
    assert len(put_aside) == (way == "restore")


def test_a_name_that_was_recorded_stays_taken_after_a_failed_run(project: Project) -> None:
    project.report("predeploy", release="r2")
    project.report("predeploy", "--skip-check", "no-such-check=typo", release="r2", expect=2)
    project.migration(
        "0003_stock",
        before="0002_note",
        operations='migrations.AddField("product", "stock", models.IntegerField(null=True))',
        fields=NOTE + STOCK,
    )
    for _ in range(2):
        report = project.report("predeploy", release="r2", expect=2)
        assert [f["id"] for f in report["steps"][-1]["findings"]] == ["deploy.L021"]


def test_what_a_later_release_contracted_for_an_earlier_one_bars_its_way_back(project: Project) -> None:
    _forget_note(project)
    project.report("predeploy", release="r2")
    _run(project, "CREATE TABLE trip ()")
    project.report("postdeploy", release="r2", expect=1)  # 0003 is applied, 0004 is not
    _run(project, "DROP TABLE trip")
    project.migration(
        "0005_stock",
        before="0004_trip",
        operations='migrations.AddField("product", "stock", models.IntegerField(null=True))',
        fields=STOCK,
    )
    project.report("predeploy", release="r3")
    project.report("postdeploy", release="r3")
    assert step_of(project.report("rollback", release="r3"), "plan")["facts"]["way"] == "switch"
    plan = step_of(project.report("rollback", "--yes-restore", "r2", release="r3"), "plan")["facts"]
    assert plan["way"] == "restore"
    assert project.query("SELECT name, note FROM shop_product") == [("kept", "precious")]
