"""What grade of backup predeploy proves, and what `migrategate apply` asks for."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.backup.manifest import Proof
from deploy.releases.drill import _proof_of_record
from deploy.releases.ledger import Record

from .project import Project, drop_database, make_project, step_of


def project_with(path: Path, deploy: str) -> Project:
    return make_project(path / "site", engine="sqlite", deploy=deploy)


def ids(report: dict[str, Any]) -> list[str]:
    return [finding["id"] for step in report["steps"] for finding in step["findings"]]


def proofs(project: Project) -> list[str]:
    shown = step_of(project.report("backups", "show", release=""), "backups show")["facts"]
    return [f"L{proof['grade']}" for proof in shown["proofs"]]


def records(project: Project) -> list[Path]:
    return [path for path in (project.path / ".deploy" / "bucket").rglob("*") if path.is_file()]


def add_note(project: Project, number: int = 2, before: str = "0001_initial") -> str:
    names = [f"note{n}" for n in range(2, number + 1)]
    fields = "".join(f"    {name} = models.TextField(null=True)\n" for name in names)
    operation = f'migrations.AddField("product", "{names[-1]}", models.TextField(null=True))'
    project.migration(f"000{number}_{names[-1]}", before=before, operations=operation, fields=fields)
    return f"shop.000{number}_{names[-1]}"


def test_predeploy_proves_to_l3_and_its_own_migrations_ask_for_it(tmp_path: Path) -> None:
    project = project_with(tmp_path, "{'BACKUP_APPLY_GRADE': 'L3'}")

    project.report("predeploy", release="r1")
    assert proofs(project) == ["L2", "L3"]
    project.report("postdeploy", release="r1")
    name = add_note(project)
    report = project.report("predeploy", release="r2")

    migrate = step_of(report, "migrate")["facts"]
    assert migrate["applied"] == [name]
    assert ", L3, " in migrate["backup"]
    shown = step_of(project.report("backups", "show", release=""), "backups show")["facts"]
    assert all(proof["rto_seconds"] > 0 for proof in shown["proofs"])
    drop_database(project)


@pytest.mark.parametrize(("grade", "step"), [("L2", "restore"), ("L1", "verify"), ("L0", "verify")])
def test_a_lower_grade_does_less_and_says_so(tmp_path: Path, grade: str, step: str) -> None:
    project = project_with(tmp_path, f"{{'BACKUP_GRADE': '{grade}'}}")
    project.report("predeploy", release="r1")
    project.report("postdeploy", release="r1")
    name = add_note(project)

    dry = step_of(project.report("predeploy", "--dry-run", release="r2"), "plan")["facts"]
    report = project.report("predeploy", release="r2")

    assert (dry["prove"], dry["rehearse"]) == (grade, [])
    assert step_of(report, step)["facts"]["proved"] == grade
    assert step_of(report, "rehearse")["skipped"]
    assert "deploy.B055" in ids(report)
    assert step_of(report, "record")["facts"]["verdict"] == "restore"
    assert step_of(report, "migrate")["facts"]["applied"] == [name]
    assert proofs(project) == [grade]
    drop_database(project)


def test_apply_refuses_without_a_backup_of_the_grade_or_with_an_old_one(tmp_path: Path) -> None:
    project = project_with(tmp_path, "{'BACKUP_APPLY_GRADE': 'L2', 'BACKUP_APPLY_MAX_AGE_SECONDS': 3600}")
    apply = ("migrategate", "apply", "--unproved", "a test")
    project.report(*apply, release="r1")  # empty: nothing to lose
    name = add_note(project)

    report = project.report(*apply, release="r2", expect=1)
    assert ids(report)[-1] == "deploy.B054"
    assert "there is none" in report["steps"][-1]["findings"][-1]["message"]
    assert not any(b"applied-unproved" in path.read_bytes() for path in records(project))
    project.report("backupdb", release="r2")
    report = project.report(*apply, release="r2", expect=1)
    finding = report["steps"][-1]["findings"][-1]
    assert (finding["id"], finding["hint"]) == ("deploy.B054", "python manage.py backupdb --prove")
    assert "not proved at all" in finding["message"]
    project.report("backupdb", "--prove", release="r2")
    report = project.report(*apply, release="r2")
    assert step_of(report, "apply")["facts"]["applied"] == [name]
    assert any(b"applied-unproved" in path.read_bytes() for path in records(project))

    project.write("mysite/later.py", LATER)
    project.extra["DJANGO_SETTINGS_MODULE"] = "mysite.later"
    add_note(project, 3, before=name.partition(".")[2])
    report = project.report(*apply, release="r3", expect=1)
    assert "old" in report["steps"][-1]["findings"][-1]["message"]
    drop_database(project)


# Two hours later: what the age is counted from is the clock.
LATER = """
from .settings import *
import datetime as _datetime
from deploy.backup import manifest as _manifest

class _Later(_datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + _datetime.timedelta(hours=2)

_manifest.datetime = _Later
"""


def test_contract_migrations_wait_for_a_backup_that_is_proved(tmp_path: Path) -> None:
    project = project_with(tmp_path, "{'BACKUP_APPLY_GRADE': 'L3'}")
    name = add_note(project)
    project.report("predeploy", release="r1")
    project.report("postdeploy", release="r1")
    project.migration(
        "0003_note_required",
        before=name.partition(".")[2],
        operations='migrations.AlterField("product", "note2", models.TextField(default=""))',
        fields='    note2 = models.TextField(default="")\n',
    )
    git = ["git", "-C", str(project.path), "-c", "user.name=me", "-c", "user.email=me@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "r2"], check=True)
    told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    project.report("predeploy", release="r2")

    report = project.report("postdeploy", release="r2")

    assert step_of(report, "apply contract")["facts"]["applied"] == ["shop.0003_note_required"]
    assert ", L2, " in step_of(report, "prove")["facts"]["backup"]
    shown = step_of(project.report("backups", "show", release=""), "backups show")["facts"]
    assert ([proof["grade"] for proof in shown["proofs"]], shown["about"][0]["commit"]) == (
        [2],
        told.stdout.strip(),
    )
    drop_database(project)


def test_preflight_tells_of_a_backup_that_is_missing_or_unproved(tmp_path: Path) -> None:
    project = project_with(tmp_path, "{}")
    (project.path / "db.sqlite3").touch()
    assert ids(project.report("preflight", "--only", "backup_age", release="r1")) == ["deploy.B053"]
    project.report("backupdb", release="r1")
    assert ids(project.report("preflight", "--only", "backup_age", release="r1")) == ["deploy.B058"]
    project.report("backups", "verify", "--grade", "L2", release="r1")
    assert ids(project.report("preflight", "--only", "backup_age", release="r1")) == []
    drop_database(project)


def test_postdeploy_prunes_by_the_configured_rules(tmp_path: Path) -> None:
    rules = {"BACKUP_KEEP": 1, **{f"BACKUP_KEEP_{r}": 0 for r in ("DAYS", "DAILY", "WEEKLY", "MONTHLY")}}
    project = project_with(tmp_path, json.dumps(rules))
    (project.path / "db.sqlite3").touch()
    first = step_of(project.report("backupdb", release="old"), "backup")["facts"]["backup"]
    project.report("predeploy", release="r1")

    plan = step_of(project.report("postdeploy", "--dry-run", release="r1"), "prune")["facts"]
    report = project.report("postdeploy", release="r1")

    assert plan["delete"] == [first] == step_of(report, "prune")["facts"]["deleted"]
    assert "the newest" in plan["decisions"][0]["why"]
    drop_database(project)


def test_a_reused_rehearsal_keeps_the_time_to_recover() -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    restored = Record(1, "proved", "r1", at, "me", {"facts": {"rto_seconds": 12.5}})
    rehearsed = Record(2, "proved", "r1", at, "me", {"seconds": 3.5})

    assert _proof_of_record(rehearsed, restored) == Proof(3, at, 3.5, "me", rto_seconds=12.5)
