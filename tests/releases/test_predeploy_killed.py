"""kill -9 of a real predeploy in each of its steps; the next run must converge."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from .project import Project, drop_database, make_project, step_of

STEPS = ["lock", "gate", "backup", "restore", "rehearse", "static", "migrate", "record"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path / "site", engine="postgresql", deploy='{"LOCK_TTL_SECONDS": 1.5}')
    made.report("predeploy", release="r1")
    made.report("postdeploy", release="r1")
    made.query(
        "INSERT INTO shop_product (name) SELECT 'p' || n FROM generate_series(1, 5000) AS n RETURNING id"
    )
    made.migration(
        "0002_stock",
        before="0001_initial",
        operations='migrations.AddField("product", "stock", models.IntegerField(null=True)), '
        'migrations.RunSQL("UPDATE shop_product SET name = name || \'!\' WHERE id % 2 = 0", "SELECT 1")',
        fields="    stock = models.IntegerField(null=True)\n",
    )
    yield made
    drop_database(made)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("delay_seconds", [0.0, 0.05])
def test_killed_in_a_step_the_next_run_converges(project: Project, step: str, delay_seconds: float) -> None:
    run = project.start("predeploy", "--format", "plain", release="r2")
    assert run.stdout is not None
    seen = []
    for line in run.stdout:
        seen.append(line)
        if line.split()[1:2] == [step]:
            break
    else:
        pytest.fail(f"step {step} never began: {''.join(seen)}")
    time.sleep(delay_seconds)
    children = _children(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    run.communicate()

    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == [], "a client program outlived its deployer"
    assert project.status("r1") == "live"
    # The kill may come before the lock is taken and, in the last two steps, after it was given back.
    held = "owner" in project.report("releases", "lock", release="r1")["steps"][0]["facts"]
    if step not in ("lock", "migrate", "record"):
        assert held
    time.sleep(1.7)  # the dead owner's lock expires

    report = project.report("predeploy", "--wait-for-lock", "10", release="r2")
    assert all(found["ok"] for found in report["steps"])
    taken_over = [f["id"] for f in step_of(report, "lock")["findings"]]
    assert taken_over == (["deploy.L003"] if held else [])

    if step in ("rehearse", "static"):
        assert "proved at" in step_of(report, "backup")["skipped"]
    if step == "static":
        assert "proved at" in step_of(report, "restore")["skipped"]
        assert "proved at" in step_of(report, "rehearse")["skipped"]

    assert project.status("r2") == "prepared"
    assert project.query("SELECT count(*) FROM django_migrations WHERE name = '0002_stock'") == [(1,)]
    assert project.query("SELECT count(*) FROM shop_product WHERE name LIKE '%!%!'") == [(0,)]
    assert project.query("SELECT count(*), count(*) FILTER (WHERE name LIKE '%!') FROM shop_product") == [
        (5000, 2500)
    ]
    tag = "_".join(step_of(report, "restore")["facts"]["database"].split("_")[:3])
    assert [name for name in project.databases() if name.startswith(tag)] == []
    backups = project.report("backups", "list", release="r2")["steps"][0]["facts"]["backups"]
    assert len(backups) >= 2
    for found in backups:
        project.report("backups", "verify", found["backup"], release="r2")
    assert "error" not in {f["level"] for s in report["steps"] for f in s["findings"]}
