"""What fails beside the database warns a deploy; what the configuration is strict in stops it, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.backup import engines
from deploy.backup.companions.beside import COMPANION_FAILED
from deploy.conf import DeployConf
from deploy.databases.client_tools import UNSUPPORTED_ENGINE
from deploy.releases.backed_up import BackupCheck
from deploy.releases.companions import judged
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .project import Project, drop_database, make_project, step_of


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Project]:
    """A project whose products are named like files, none of which is there."""
    media = tmp_path / "media"
    media.mkdir()
    keys = {"MEDIA_BUCKET": f"file://{media}", "MEDIA_FIELDS": ["shop.Product.name"], "MEDIA_STRICT": True}
    made = make_project(tmp_path / "site", engine="postgresql", deploy=repr(keys))
    settings = made.path / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + f"MEDIA_ROOT = {str(media)!r}\n")
    made.report("predeploy", release="r1")
    made.report("postdeploy", release="r1")
    made.query("INSERT INTO shop_product (name) VALUES ('gone.txt') RETURNING id")
    made.migration(
        "0002_note",
        before="0001_initial",
        operations='migrations.AddField("product", "note", models.TextField(null=True))',
        fields="    note = models.TextField(null=True)\n",
    )
    yield made
    drop_database(made)


def levels(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["id"], one["level"]) for one in step_of(report, "backup")["findings"]]


def test_a_strict_companion_stops_the_deploy_without_another_dump(strict: Project, tmp_path: Path) -> None:
    reports = [strict.report("predeploy", release="r2", expect=1) for _ in range(2)]
    assert [report["steps"][-1]["name"] for report in reports] == ["backup", "backup"]
    assert [levels(report) for report in reports] == [[("deploy.B068", "error")]] * 2

    file = tmp_path / "media" / "gone.txt"
    file.write_text("back")
    reports.append(strict.report("predeploy", release="r2"))
    assert levels(reports[-1]) == [("deploy.B068", "warning")]
    assert len({step_of(report, "backup")["facts"]["backup"] for report in reports}) == 1

    strict.report("postdeploy", release="r2")
    strict.migration(
        "0003_note_required",
        before="0002_note",
        operations='migrations.AlterField("product", "note", models.TextField(default=""))',
        fields='    note = models.TextField(default="")\n',
    )
    strict.query("UPDATE shop_product SET note = '' RETURNING id")
    strict.report("predeploy", release="r3")
    file.unlink()
    report = strict.report("postdeploy", release="r3")  # it is live by then: nothing stops half-way
    assert levels(report) == [("deploy.B068", "warning")]
    assert step_of(report, "apply contract")["facts"]["applied"] == ["shop.0003_note_required"]


def test_a_companion_that_failed_warns(conf: DeployConf) -> None:
    failed = COMPANION_FAILED(companion="firestore", kind="KeyError", where="x:1")
    assert [one.level for one in judged(conf, [failed])] == ["warning"]


def test_the_check_of_the_newest_backup_says_why_it_was_skipped(
    conf: DeployConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: DeployConf) -> None:
        raise Refusal(UNSUPPORTED_ENGINE(engine="django.db.backends.mysql"))

    monkeypatch.setattr(engines, "engine_of", refuse)
    step = Step("backup_age")
    BackupCheck().run(conf, step)
    assert step.skipped is not None
    assert "django.db.backends.mysql" in step.skipped
    assert "no name yet" not in step.skipped
