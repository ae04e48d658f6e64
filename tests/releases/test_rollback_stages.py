"""The stages of a rollback, one by one as a rollout calls them, each cut off and run again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.maintenance import state
from deploy.releases import restoring
from deploy.releases.history import LIVE, PREPARED, read_history
from deploy.releases.identity import Identity
from deploy.releases.ledger import Ledger
from deploy.releases.rollback import Rollback
from deploy.releases.session import Session
from deploy.releases.way_back import RollbackPlan
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report

from .project import Project, drop_database, live_with_a_note, make_project, step_of

NULLABLE = "SELECT is_nullable FROM information_schema.columns WHERE column_name = 'note'"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(
        tmp_path / "site",
        engine="postgresql",
        deploy='{"LOCK_TTL_SECONDS": 1.5, "MAINTENANCE_REFRESH_SECONDS": 0.1}',
    )
    settings = made.path / "mysite" / "settings.py"
    middleware = "MIDDLEWARE += ['deploy.maintenance.middleware.MaintenanceMiddleware']\n"
    settings.write_text(settings.read_text() + middleware)
    live_with_a_note(made)
    yield made
    drop_database(made)


def _deploy(project: Project, release: str) -> None:
    project.report("predeploy", release=release)
    project.report("postdeploy", release=release)


def _rollback(project: Project, *arguments: str, expect: int = 0) -> dict[str, Any]:
    command = ("rollback", "--release", "r2", "--wait-for-lock", "60", *arguments)
    return project.report(*command, release="r1", expect=expect)


def _plan(project: Project) -> dict[str, Any]:
    facts: dict[str, Any] = step_of(_rollback(project, "--dry-run"), "plan")["facts"]
    return facts


def _ids(report: dict[str, Any]) -> list[str]:
    return [finding["id"] for step in report["steps"] for finding in step["findings"]]


def _maintenance(project: Project) -> dict[str, Any] | None:
    bucket = LocalBucket(project.path / ".deploy" / "bucket")
    found = list(bucket.list("maintenance/"))
    return json.loads(bucket.read(found[0].name)) if found else None


def _killed_in(project: Project, step: str, *arguments: str) -> None:
    """Run a rollback and kill it -9 when `step` begins."""
    command = ("rollback", "--release", "r2", "--wait-for-lock", "60", *arguments)
    run = project.start(*command, "--format", "plain", release="r1")
    assert run.stdout is not None
    for line in run.stdout:
        if line.split()[1:2] == [step]:
            os.kill(run.pid, signal.SIGKILL)
            break
    run.communicate(timeout=60)
    assert run.returncode in (-signal.SIGKILL, 0)


def test_restoring_by_stages_loses_nothing_unsaid_and_lets_people_in_at_the_end(project: Project) -> None:
    project.migration(
        "0003_forget_note", before="0002_note", operations='migrations.RemoveField("product", "note")'
    )
    _deploy(project, "r2")
    project.query("INSERT INTO shop_product (name) VALUES ('new'), ('newer') RETURNING id")

    plan = _plan(project)
    assert (plan["way"], plan["target"]) == ("restore", "r1")
    [table] = plan["rows_written_since"]
    assert (table["table"], table["then"], table["now"]) == ("public.shop_product", 1, 3)
    assert (table["added"], table["how"]) == (2, "counted")
    assert plan["loss"] == "at least 2 rows (counted) in 1 table; most in: public.shop_product 2."
    assert plan["infrastructure"] is None

    # The backup is gone: there is no way, it says why, and nothing happens.
    bucket = project.path / ".deploy" / "bucket"
    manifest = next(path for path in bucket.rglob("manifest.json%") if plan["backup"] in str(path))
    away = manifest.rename(project.path / "away")
    report = _rollback(project, "--dry-run", expect=1)
    assert step_of(report, "plan")["facts"]["way"] == "impossible"
    assert _ids(report) == ["deploy.L070"]
    away.rename(manifest)

    assert _ids(_rollback(project, "--stage", "record", expect=1))[-1] == "deploy.L071"
    refused = _rollback(project, "--stage", "database", "--yes-restore", "r1", expect=2)
    assert _ids(refused)[-1] == "deploy.L042"
    assert _maintenance(project) is None

    confirmed = ("--stage", "database", "--yes-restore", "r2")
    _killed_in(project, "restore", *confirmed)
    on = _maintenance(project)
    assert on is not None
    assert on["rollback_of"] == "r2"
    for _ in range(2):
        _rollback(project, *confirmed)
    assert project.query("SELECT name, note FROM shop_product") == [("kept", "precious")]
    assert project.status("r2") == "live"
    still = _maintenance(project)
    assert still is not None
    assert still["since"] == on["since"]

    plan = _plan(project)
    assert (plan["way"], plan["database_done"]) == ("switch", "restore")
    _killed_in(project, "record", "--stage", "record")
    for _ in range(2):
        _rollback(project, "--stage", "record", "--reason", "lost notes")
    assert _maintenance(project) is None
    assert (project.status("r1"), project.status("r2")) == ("live", "rolled-back")
    shown = project.report("releases", "show", "r2", release="r1")["steps"][0]["facts"]["rollback"]
    assert shown["way"] == "restore"
    name = project.database.rpartition("=")[2]
    # The database that was live is kept, and nothing of the killed run is left.
    assert len([one for one in project.databases() if one.startswith(name) and one != name]) == 1
    assert not [one for one in project.databases() if "restore" in one and name in one]


def test_reversing_by_stages(project: Project) -> None:
    project.migration(
        "0003_note_required",
        before="0002_note",
        operations='migrations.AlterField("product", "note", models.TextField(default=""))',
        fields='    note = models.TextField(default="")\n',
    )
    _deploy(project, "r2")
    assert project.query(NULLABLE) == [("NO",)]
    assert _plan(project)["way"] == "reverse"
    _killed_in(project, "reverse", "--stage", "database")
    for _ in range(2):
        _rollback(project, "--stage", "database")
    assert project.query(NULLABLE) == [("YES",)]
    assert project.status("r2") == "live"
    plan = _plan(project)
    assert (plan["way"], plan["database_done"]) == ("switch", "reverse")
    for _ in range(2):
        _rollback(project, "--stage", "record")
    shown = project.report("releases", "show", "r2", release="r1")["steps"][0]["facts"]["rollback"]
    assert (shown["way"], shown["migrations"]) == ("reverse", ["shop.0003_note_required"])
    assert _maintenance(project) is None


@pytest.fixture
def session(conf: DeployConf, bucket: LocalBucket, ledger: Ledger) -> Session:
    for name in ("a", "b"):
        ledger.append(PREPARED, name, {"backup": f"backup-of-{name}"})
        ledger.append(LIVE, name, {})
    return Session(conf, bucket, bucket, ledger, Identity("b", ""))


def _run(session: Session, stage: str, **options: Any) -> Report:
    report = Report("rollback")
    Rollback(session, report, stage=stage, **options).run()  # type: ignore[arg-type]  # one of STAGES
    return report


def test_a_switch_has_nothing_to_do_in_the_database_and_moves_no_traffic(session: Session) -> None:
    assert [step.name for step in _run(session, "database").steps] == ["lock", "plan"]
    assert [step.name for step in _run(session, "record").steps] == ["lock", "plan", "record"]
    live = read_history(session.ledger).live
    assert live is not None
    assert live.name == "a"


def test_an_abandoned_release_is_recorded_so(session: Session) -> None:
    session.ledger.append(PREPARED, "c", {})
    _run(session, "record", release="c")
    history = read_history(session.ledger)
    assert history.releases["c"].status == "rolled-back"
    assert history.live is not None
    assert history.live.name == "b"


def test_no_way_back_is_a_plan_too(session: Session) -> None:
    report = Report("rollback")
    with pytest.raises(Refusal) as refused:
        Rollback(session, report, to="b", dry_run=True).run()
    assert refused.value.exit_code == 2
    assert report.steps[0].facts["way"] == "impossible"
    assert "is live already" in report.steps[0].facts["reason"]


def test_a_persons_maintenance_is_not_the_rollbacks_to_end(session: Session) -> None:
    state.begin(session.conf, session.bucket, "By hand", expected_end=None)
    _run(session, "record")
    assert state.current(session.conf, session.bucket) is not None


def test_maintenance_stays_on_as_long_as_a_person_has_to_move_the_traffic(session: Session) -> None:
    state.begin(session.conf, session.bucket, "Restoring", expected_end=None, rollback_of="b")
    report = _run(session, "all")
    assert "deploy.L072" in [finding.id for finding in report.findings]
    assert state.current(session.conf, session.bucket) is not None
    state.begin(session.conf, session.bucket, "Restoring", expected_end=None, rollback_of="b")
    plan = RollbackPlan("b", "a", "switch", switch=("true",))
    restoring.let_in(session, plan, Report("rollback"), lambda: None, by_hand=False)
    assert state.current(session.conf, session.bucket) is None


@pytest.mark.parametrize(
    ("noted", "facts", "findings"),
    [
        ({}, None, []),
        ({"a": 7, "b": 7}, {"terraform_generation": {"target": 7, "release": 7}}, []),
        ({"a": 7, "b": 9}, {"terraform_generation": {"target": 7, "release": 9}}, ["deploy.L074"]),
        ({"b": 9}, {"terraform_generation": {"target": None, "release": 9}}, ["deploy.L074"]),
    ],
)
def test_the_infrastructures_state_of_both_releases_is_told(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    noted: dict[str, int],
    facts: dict[str, Any] | None,
    findings: list[str],
) -> None:
    monkeypatch.setattr(restoring, "_generation", lambda _, name: noted.get(name.removeprefix("backup-of-")))
    report = _run(session, "all", dry_run=True)
    assert report.steps[0].facts["infrastructure"] == facts
    assert [finding.id for finding in report.findings] == findings


def test_the_loss_is_told_in_one_sentence() -> None:
    row = {"table": "shop_order", "then": 1, "now": 13, "added": 12, "how": "counted", "changed": True}
    tables = [
        row,
        {**row, "table": "shop_stock", "added": 0},
        {**row, "table": "shop_cart", "added": -4},
        {**row, "table": "shop_log", "added": None, "how": "unknown", "changed": None},
    ]
    told = restoring.in_words({"rows": 12, "how": "unknown", "tables": tables})
    assert told == (
        "at least 12 rows (unknown) in 1 table; most in: shop_order 12; other rows or columns in 1 table; "
        "more rows then in 1 table; nothing known of 1 table never analyzed."
    )
    assert restoring.in_words({"rows": 0, "how": "counted", "tables": []}) == (
        "at least 0 rows (counted) in 0 tables."
    )


def test_it_waits_until_every_process_knows_of_the_maintenance(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(restoring.time, "sleep", slept.append)
    monkeypatch.setattr(restoring, "_estimate", lambda _: None)
    slow = replace(session.conf, maintenance=replace(session.conf.maintenance, refresh_seconds=40.0))
    plan = RollbackPlan("b", "a", "restore")
    report = Report("rollback")
    with report.step("maintenance on") as step:
        restoring.keep_out(replace(session, conf=slow), plan, step, lambda: None)
    assert 0 < slept[0] <= 41
    on = state.current(session.conf, session.bucket)
    assert on is not None
    assert on.rollback_of == "b"
    assert (datetime.now(UTC) - on.since).total_seconds() < 300
