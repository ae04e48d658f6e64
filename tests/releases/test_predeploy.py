from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .project import Project, drop_database, make_project, step_of

STEPS = ["gate", "backup", "restore", "rehearse", "static", "migrate", "record"]


@pytest.fixture(params=["postgresql", "sqlite"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path / "site", engine=request.param)
    yield made
    drop_database(made)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path / "site", engine="postgresql")
    yield made
    drop_database(made)


def test_works_in_a_project_that_only_adds_the_app(project: Project) -> None:
    report = project.report("predeploy", release="r1")
    names = [step["name"] for step in report["steps"]]
    assert names[0] == "lock"
    assert names[-len(STEPS) :] == STEPS
    assert all(step["ok"] for step in report["steps"])
    assert project.status("r1") == "prepared"
    assert project.report("postdeploy", release="r1")["ok"]
    assert project.status("r1") == "live"

    project.migration(
        "0002_product_stock",
        before="0001_initial",
        operations='migrations.AddField("product", "stock", models.IntegerField(null=True))',
        fields="    stock = models.IntegerField(null=True)\n",
    )
    report = project.report("predeploy", release="r2")
    assert step_of(report, "gate")["facts"]["expand"] == ["shop.0002_product_stock"]
    assert step_of(report, "gate")["facts"]["compared_with"] == "release r1"
    assert step_of(report, "rehearse")["facts"]["verdict"] == "switch"
    assert step_of(report, "migrate")["facts"]["applied"] == ["shop.0002_product_stock"]
    project.report("postdeploy", release="r2")
    assert project.status("r1") == "superseded"


def test_a_second_run_goes_on_after_what_was_proved(postgresql: Project) -> None:
    postgresql.report("predeploy", release="r1")
    # The schema is another one now, so the proofs are made once more; the third run finds nothing changed.
    postgresql.report("predeploy", release="r1")
    report = postgresql.report("predeploy", release="r1")
    for name in ("backup", "restore", "rehearse"):
        assert "proved at" in step_of(report, name)["skipped"]


def test_a_changed_plan_invalidates_what_depended_on_it(postgresql: Project) -> None:
    postgresql.report("predeploy", release="r1")
    postgresql.report("predeploy", release="r1")
    postgresql.migration(
        "0002_note",
        before="0001_initial",
        operations='migrations.AddField("product", "note", models.TextField(db_default=""))',
        fields='    note = models.TextField(db_default="")\n',
    )
    report = postgresql.report("predeploy", release="r2")
    assert step_of(report, "rehearse")["skipped"] is None


def test_a_recorded_release_is_immutable(postgresql: Project) -> None:
    postgresql.report("predeploy", release="r1")
    postgresql.migration(
        "0002_note",
        before="0001_initial",
        operations='migrations.AddField("product", "note", models.TextField(null=True))',
        fields="    note = models.TextField(null=True)\n",
    )
    report = postgresql.report("predeploy", release="r1", expect=2)
    assert [f["id"] for step in report["steps"] for f in step["findings"] if f["level"] == "error"] == [
        "deploy.L021"
    ]
    assert postgresql.query("SELECT count(*) FROM django_migrations WHERE name = '0002_note'") == [(0,)]


def test_the_gate_refuses_before_anything_is_touched(postgresql: Project) -> None:
    postgresql.report("predeploy", release="r1")
    postgresql.report("postdeploy", release="r1")
    backups = sorted((postgresql.path / ".deploy" / "bucket").rglob("*.zst"))
    postgresql.migration(
        "0002_code",
        before="0001_initial",
        operations='migrations.AddField("product", "code", models.CharField(max_length=9, default="x"))',
        fields='    code = models.CharField(max_length=9, default="x")\n',
    )
    report = postgresql.report("predeploy", release="r2", expect=1)
    assert report["steps"][-1]["name"] == "gate"
    error = next(f for f in report["steps"][-1]["findings"] if f["level"] == "error")
    assert error["place"] == "shop.0002_code"
    assert "db_default" in error["hint"]
    assert postgresql.status("r2") == "failed"
    assert postgresql.status("r1") == "live"
    assert sorted((postgresql.path / ".deploy" / "bucket").rglob("*.zst")) == backups


def test_contract_migrations_wait_for_postdeploy_and_can_be_rolled_back(postgresql: Project) -> None:
    postgresql.migration(
        "0002_note",
        before="0001_initial",
        operations='migrations.AddField("product", "note", models.TextField(null=True))',
        fields="    note = models.TextField(null=True)\n",
    )
    postgresql.report("predeploy", release="r1")
    postgresql.report("postdeploy", release="r1")
    # The old code writes NULL, the new code never does: it can wait until no old code is left.
    postgresql.migration(
        "0003_note_required",
        before="0002_note",
        operations='migrations.AlterField("product", "note", models.TextField(default=""))',
        fields='    note = models.TextField(default="")\n',
    )
    report = postgresql.report("predeploy", release="r2")
    assert step_of(report, "gate")["facts"]["contract"] == ["shop.0003_note_required"]
    assert step_of(report, "migrate")["skipped"]
    nullable = "SELECT is_nullable FROM information_schema.columns WHERE column_name = 'note'"
    assert postgresql.query(nullable) == [("YES",)]

    dry = postgresql.report("postdeploy", "--dry-run", release="r2")
    assert [step["name"] for step in dry["steps"]] == ["live", "contract", "prune"]
    assert step_of(dry, "contract")["facts"]["to_apply"] == ["shop.0003_note_required"]
    assert postgresql.status("r2") == "prepared"
    assert postgresql.query(nullable) == [("YES",)]

    report = postgresql.report("postdeploy", release="r2")
    assert step_of(report, "apply contract")["facts"]["applied"] == ["shop.0003_note_required"]
    assert step_of(report, "backup")["facts"]["backup"]
    assert postgresql.query(nullable) == [("NO",)]

    plan = step_of(postgresql.report("rollback", "--dry-run", release="r2"), "plan")["facts"]
    assert (plan["way"], plan["target"]) == ("reverse", "r1")
    assert postgresql.query(nullable) == [("NO",)]
    postgresql.report("rollback", "--reason", "test", release="r2")
    assert postgresql.query(nullable) == [("YES",)]
    assert postgresql.status("r1") == "live"
    assert postgresql.status("r2") == "rolled-back"
    again = postgresql.report("rollback", release="r1", expect=2)
    assert [finding["id"] for finding in again["steps"][-1]["findings"]] == ["deploy.L040"]


def test_a_release_that_cannot_be_undone_goes_back_by_restore(postgresql: Project) -> None:
    postgresql.report("predeploy", release="r1")
    postgresql.report("postdeploy", release="r1")
    postgresql.query("INSERT INTO shop_product (name) VALUES ('kept') RETURNING id")
    postgresql.migration(
        "0002_forget_products",
        before="0001_initial",
        operations="migrations.SeparateDatabaseAndState("
        "[migrations.RunSQL('DROP TABLE shop_product')], [migrations.DeleteModel('product')])",
    )
    postgresql.write("shop/models.py", "")
    postgresql.report("predeploy", release="r2")
    postgresql.report("postdeploy", release="r2")
    refused = postgresql.report("rollback", release="r2", expect=2)
    assert refused["steps"][-1]["findings"][-1]["id"] == "deploy.L042"
    postgresql.report("rollback", "--yes-restore", "r2", release="r2")
    assert postgresql.query("SELECT name FROM shop_product") == [("kept",)]
    assert postgresql.status("r1") == "live"


def test_two_at_once_one_works_and_the_other_exits_75_naming_the_owner(postgresql: Project) -> None:
    first = postgresql.start("predeploy", "--format", "plain", release="r1")
    assert first.stdout is not None
    for line in first.stdout:
        if "backup" in line:
            break
    second = postgresql.report("predeploy", release="r1", expect=75)
    finding = second["steps"][0]["findings"][0]
    assert finding["id"] == "deploy.L001"
    assert f":{first.pid} " in finding["message"]
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert postgresql.status("r1") == "prepared"


def test_postdeploy_of_a_release_that_was_not_prepared_is_refused(postgresql: Project) -> None:
    assert postgresql.report("postdeploy", "--dry-run", release="r9", expect=1)["exit_code"] == 1
    report = postgresql.report("postdeploy", release="r9", expect=1)
    assert report["steps"][-1]["findings"][0]["id"] == "deploy.L030"


def test_bad_release_names_change_nothing(postgresql: Project) -> None:
    report = postgresql.report("predeploy", release="../../etc", expect=2)
    assert [f["id"] for step in report["steps"] for f in step["findings"]] == ["deploy.C006"]
    assert not (postgresql.path / ".deploy").exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(project: Project) -> None:
    report = project.report("predeploy", "--dry-run", release="r1")
    facts = step_of(report, "plan")["facts"]
    assert facts["backup"] == "take one"
    assert "shop.0001_initial" in facts["migrate"]
    assert facts["left_for_postdeploy"] == []
    assert "lock" not in [step["name"] for step in report["steps"]]
    bucket = project.path / ".deploy" / "bucket"
    assert [path for path in bucket.rglob("*") if path.is_file() and "%system" not in path.parts] == []
    project.report("predeploy", release="r1")
    assert project.report("predeploy", "--dry-run", release="r1")["ok"]
    assert project.status("r1") == "prepared"


def test_a_mistake_in_the_call_says_nothing_of_the_release(postgresql: Project) -> None:
    postgresql.report("predeploy", release="r1")
    postgresql.report("predeploy", "--skip-check", "nope=because", release="r1", expect=2)
    assert postgresql.status("r1") == "prepared"


def test_an_unexpected_stop_is_recorded_as_a_failure(postgresql: Project) -> None:
    postgresql.write(
        "shop/finders.py",
        """
        from django.contrib.staticfiles.finders import BaseFinder


        class Broken(BaseFinder):
            def check(self, **kwargs):
                return []

            def list(self, ignore_patterns):
                raise RuntimeError("no files")
        """.replace("\n        ", "\n"),
    )
    settings = postgresql.path / "mysite" / "settings.py"
    settings.write_text(f"{settings.read_text()}\nSTATICFILES_FINDERS = ['shop.finders.Broken']\n")
    report = postgresql.report("predeploy", release="r1", expect=2)
    assert "deploy.R001" in [f["id"] for step in report["steps"] for f in step["findings"]]
    row = postgresql.report("releases", "list", release="r1")["steps"][0]["facts"]["releases"][0]
    assert (row["status"], row["why"]) == ("failed", "static: deploy.L023")


def test_a_text_goes_with_neither_resolve_nor_list(postgresql: Project) -> None:
    for option in ("--resolve", "--list"):
        report = postgresql.report("announce", "text", option, release="r1", expect=2)
        assert [f["id"] for step in report["steps"] for f in step["findings"]] == ["deploy.R002"]


def test_a_migration_edited_after_it_was_applied_is_refused_by_name(postgresql: Project) -> None:
    for release in ("r1", "r2"):
        postgresql.report("predeploy", release=release)
        postgresql.report("postdeploy", release=release)
    path = postgresql.path / "shop/migrations/0001_initial.py"
    text = path.read_text()
    path.write_text(text.replace("class Migration", '"""What it is."""\n\n\nclass Migration'))
    assert postgresql.report("migrategate", "check", release="r3")["ok"]
    path.write_text(text.replace('("price", ', '("weight", models.IntegerField(null=True)),\n("price", '))
    for command in (("migrategate", "check"), ("predeploy",)):
        report = postgresql.report(*command, release="r3", expect=1)
        step = step_of(report, "check" if command[0] == "migrategate" else "gate")
        (edited,) = [one for one in step["findings"] if one["id"] == "deploy.M089"]
        assert edited["place"] == "shop.0001_initial"
        assert "since release r1 had it" in edited["message"]
