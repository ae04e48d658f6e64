"""`manage.py migrategate` as a user runs it: a project of its own, on SQLite and PostgreSQL."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connections

from deploy.databases.postgresql import locked
from deploy.gate import check, known, leaves
from deploy.reporting.findings import Refusal

from .project import conf, postgres, query, sqlite

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
SECRET_KEY = "only-for-this-test"
DEBUG = True
ROOT_URLCONF = "site_.urls"
USE_TZ = True
BASE_DIR = {base!r}
DATABASES = {{"default": {database!r}}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "deploy", "stock"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEPLOY = {{"APPLY_TIMEOUT_SECONDS": 20}}
"""
MODELS = (
    "from django.db import models\nclass Item(models.Model):\n    name = models.CharField(max_length=20)\n"
)
FIRST = """
from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    operations = [migrations.CreateModel("Item", [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("name", models.CharField(max_length=20))])]
"""
RENAME = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.RenameField("item", "name", "title")]
"""
NO_WAY_BACK = """
from django.db import migrations
def nothing(apps, schema_editor): pass
class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.RunPython(nothing)]
"""


class Site:
    def __init__(self, root: Path, database: dict) -> None:
        self.root = root
        (root / "stock" / "migrations").mkdir(parents=True)
        (root / "stock" / "__init__.py").touch()
        (root / "stock" / "migrations" / "__init__.py").touch()
        (root / "stock" / "models.py").write_text(MODELS)
        (root / "stock" / "migrations" / "0001_initial.py").write_text(FIRST)
        (root / "site_settings.py").write_text(SETTINGS.format(base=str(root), database=database))

    def rename(self) -> None:
        (self.root / "stock" / "migrations" / "0002_rename.py").write_text(RENAME)
        (self.root / "stock" / "models.py").write_text(MODELS.replace("name", "title"))

    def run(self, *arguments: str) -> tuple[int, dict]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "PYTHONPATH": f"{self.root}:{ROOT}",
            "GITHUB_ACTIONS": "",
        }
        argv = [sys.executable, "-m", "django", "migrategate", *arguments, "--format", "json"]
        done = subprocess.run(
            argv, env=environment, cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")})


def ids(report: dict) -> list[str]:
    return [finding["id"] for step in report["steps"] for finding in step["findings"]]


def test_the_whole_way_on_sqlite(site: Site) -> None:
    code, report = site.run("apply", "--phase", "all")
    assert code == 0, report
    assert "stock.0001_initial" in report["steps"][-1]["facts"]["applied"]
    assert site.run("wait", "--timeout", "0")[0] == 0
    site.rename()
    code, report = site.run("check")
    assert code == 1
    assert ids(report) == ["deploy.M001"]
    assert report["steps"][0]["findings"][0]["place"] == "stock.0002_rename"
    code, report = site.run("apply")
    assert code == 1
    assert [step["name"] for step in report["steps"]] == ["lock", "check"]
    code, report = site.run("wait", "--timeout", "0")
    assert (code, ids(report)) == (1, ["deploy.M060"])


DROP = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.RemoveField("item", "name")]
"""


def test_apply_says_which_contract_migrations_it_has_left(site: Site) -> None:
    first = site.root / "stock" / "migrations" / "0001_initial.py"
    first.write_text(FIRST.replace("max_length=20", "max_length=20, null=True"))
    (site.root / "stock" / "models.py").write_text(
        MODELS.replace("max_length=20", "max_length=20, null=True")
    )
    assert site.run("apply", "--phase", "all")[0] == 0
    (site.root / "stock" / "migrations" / "0002_drop.py").write_text(DROP)
    (site.root / "stock" / "models.py").write_text(
        "from django.db import models\nclass Item(models.Model):\n    pass\n"
    )
    code, report = site.run("apply")
    assert code == 0, report
    assert "deploy.M066" in ids(report)
    assert report["steps"][-1]["facts"]["left"] == ["stock.0002_drop"]


HOLD = """
import django, sys
django.setup()
from deploy import conf
from deploy.releases.session import Session
from deploy.reporting.report import Report
with Session.open(conf.load()).locked(Report("test"), "predeploy"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_apply_by_hand_gives_way_to_another_deploy(site: Site) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site.root}"}
    environment |= {"DJANGO_SETTINGS_MODULE": "site_settings", "DEPLOY_OWNER": "another"}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=site.root, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        code, report = site.run("apply", "--phase", "all")
        assert (code, ids(report)) == (75, ["deploy.L001"])
        assert site.run("check")[0] == 0
        assert not (site.root / "db.sqlite3").exists() or site.run("wait", "--timeout", "0")[0] == 1
    finally:
        holder.communicate("")
    assert site.run("apply", "--phase", "all")[0] == 0


def test_six_containers_that_start_at_once_on_an_empty_database_all_go_on(tmp_path: Path) -> None:
    with postgres() as alias, ThreadPoolExecutor(6) as pool:
        entry = connections.settings[alias]
        wanted = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
        site = Site(tmp_path, {name: str(entry[name]) for name in wanted if entry.get(name)})
        answers = list(pool.map(lambda _: site.run("apply", "--phase", "all"), range(6)))
        assert [code for code, _ in answers] == [0] * 6, answers
        applied = [report["steps"][-1]["facts"]["applied"] for _, report in answers]
        assert sorted(map(len, applied))[:5] == [0] * 5
        assert "stock.0001_initial" in max(applied, key=len)
        assert query(alias, "SELECT count(*) FROM django_migrations WHERE app = 'stock'") == [(1,)]


def test_check_all_needs_no_database(tmp_path: Path) -> None:
    absent = {"ENGINE": "django.db.backends.postgresql", "NAME": "absent", "HOST": str(tmp_path)}
    site = Site(tmp_path, absent)
    site.rename()
    code, report = site.run("check", "--all")
    assert (code, ids(report)) == (1, ["deploy.M001"])
    code, report = site.run("check", "--deployed-from-database")
    assert (code, ids(report)) == (2, ["deploy.M061"])


def test_without_a_database_it_says_what_to_type(tmp_path: Path) -> None:
    absent = {"ENGINE": "django.db.backends.postgresql", "NAME": "absent", "HOST": str(tmp_path)}
    site = Site(tmp_path, absent)
    code, report = site.run("check")
    assert (code, ids(report)) == (2, ["deploy.M061"])
    (finding,) = report["steps"][0]["findings"]
    assert "check --since origin/main" in finding["hint"]
    assert "check --all" in finding["hint"]
    assert site.run("check", "--since", "main")[0] == 2


def test_fails_on_a_warning_when_it_is_told_to(site: Site) -> None:
    site.run("apply", "--phase", "all")
    (site.root / "stock" / "migrations" / "0002_code.py").write_text(NO_WAY_BACK)
    code, report = site.run("check")
    assert (code, ids(report)) == (0, ["deploy.M022"])
    code, report = site.run("check", "--fail-on", "warning")
    assert (code, ids(report)) == (1, ["deploy.M022"])


def test_writes_a_baseline_and_goes_by_it(site: Site) -> None:
    (site.root / "stock" / "migrations" / "0002_code.py").write_text(NO_WAY_BACK)
    arguments = ("check", "--all", "--fail-on", "warning")
    assert site.run(*arguments)[0] == 1
    code, report = site.run(*arguments, "--write-baseline")
    assert code == 0, report
    assert report["steps"][0]["facts"]["baseline"] == str(site.root / "deploy-gate-baseline.json")
    code, report = site.run(*arguments)
    assert (code, ids(report)) == (0, ["deploy.M022"])
    code, report = site.run(*arguments, "--write-baseline", str(site.root / "other.json"))
    assert (site.root / "other.json").read_bytes() == (site.root / "deploy-gate-baseline.json").read_bytes()


def test_rehearses_on_a_named_copy_and_never_on_the_configured_database(tmp_path: Path) -> None:
    with postgres("gate_live_site") as live, postgres("gate_copy_site", named="deploy_scratch") as copy:
        entry = {
            k: v
            for k, v in connections.settings[live].items()
            if k in ("ENGINE", "NAME", "USER", "HOST", "PORT")
        }
        site = Site(tmp_path, entry)
        site.rename()
        name = connections.settings[copy]["NAME"]
        with locked(copy, name, doing="filling"):
            code, report = site.run("rehearse", "--scratch", name)
            assert (code, ids(report)) == (2, ["deploy.D009"])
        code, report = site.run("rehearse", "--scratch", name)
        assert code == 0, report
        assert report["steps"][-1]["facts"]["verdict"] == "switch"
        assert report["steps"][-1]["facts"]["role"] == "superuser, whom no row security binds"
        assert query(live, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        code, report = site.run("rehearse", "--scratch", str(entry["NAME"]))
        assert (code, ids(report)) == (2, ["deploy.R002"])
        # Another project's database on the same server is no copy either.
        code, report = site.run("rehearse", "--scratch", "postgres")
        assert (code, ids(report)) == (2, ["deploy.R002"])
        assert site.run("rehearse")[0] == 2
        code, report = site.run("rehearse", "--scratch", "deploy_scratch_that_is_gone")
        assert (code, ids(report)) == (2, ["deploy.R002"])
        message = report["steps"][-1]["findings"][0]["message"]
        assert message.startswith("The server has no database deploy_scratch_that_is_gone: make a copy")
        code, report = site.run("rehearse", "--scratch", "rev1_live")
        assert "database rev1_live is not" in report["steps"][-1]["findings"][0]["message"]


@pytest.mark.parametrize(
    "name", ["db.sqlite3", "./db.sqlite3", "deploy_scratch_link", "deploy_scratch_none", "x"]
)
def test_a_rehearsal_never_touches_the_live_file_by_whatever_name(site: Site, name: str) -> None:
    site.run("apply", "--phase", "all")
    live = site.root / "db.sqlite3"
    (site.root / "deploy_scratch_link").symlink_to(live)
    site.rename()
    before = live.read_bytes()
    code, report = site.run("rehearse", "--scratch", name, "--deployed-from-database")
    assert (code, ids(report)) == (2, ["deploy.R002"])
    assert live.read_bytes() == before
    assert not (site.root / "x").exists()
    assert not (site.root / "deploy_scratch_none").exists()


def test_rehearses_on_a_copy_of_the_sqlite_file(site: Site) -> None:
    site.run("apply", "--phase", "all")
    live = site.root / "db.sqlite3"
    (site.root / "deploy_scratch_look").write_bytes(live.read_bytes())
    site.rename()
    before = live.read_bytes()
    _, report = site.run("rehearse", "--scratch", "deploy_scratch_look")
    assert report["steps"][-1]["name"] == "rehearse", report
    assert live.read_bytes() == before


def test_models_without_a_migration_are_found(site: Site) -> None:
    (site.root / "stock" / "models.py").write_text(MODELS + "    price = models.IntegerField(default=0)\n")
    code, report = site.run("check")
    assert (code, ids(report)) == (1, ["deploy.M009"])
    (site.root / "stock" / "models.py").write_text(
        MODELS.replace("max_length=20", "max_length=20, help_text='h'")
    )
    code, report = site.run("check")
    assert (code, ids(report)) == (0, ["deploy.M009"])


def test_a_dependency_on_a_migration_that_is_gone_is_one_finding(site: Site) -> None:
    site.rename()
    (site.root / "stock" / "migrations" / "0002_rename.py").write_text(
        RENAME.replace("0001_initial", "0001_gone")
    )
    code, report = site.run("check", "--all")
    assert (code, ids(report)) == (1, ["deploy.M006", "deploy.M001"])


def test_an_unknown_alias_is_refused(site: Site) -> None:
    code, report = site.run("check", "--alias", "nowhere")
    assert (code, ids(report)) == (2, ["deploy.C005"])


def test_this_project_is_judged_without_a_word() -> None:
    """The suite's own project: models and migrations agree, and nothing in its history breaks a release."""
    report = check(conf(), alias="default", deployed=None, everything=True)
    assert [finding for finding in report.findings if finding.level == "error"] == []
    assert set(leaves()) >= {"auth", "contenttypes"}
    assert ("auth", "0001_initial") in known()


def test_mysql_gets_a_clear_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite(tmp_path / "db.sqlite3") as alias:
        monkeypatch.setattr(connections[alias], "vendor", "mysql", raising=False)
        with pytest.raises(Refusal) as caught:
            check(conf(), alias=alias, deployed=None)
    assert [finding.id for finding in caught.value.findings] == ["deploy.D002"]


def test_says_when_the_deployed_release_is_newer(tmp_path: Path) -> None:
    with sqlite(tmp_path / "db.sqlite3") as alias:
        newer = frozenset({("auth", "0099_newer")})
        report = check(conf(), alias=alias, deployed=newer)
    (finding,) = [finding for finding in report.findings if finding.id == "deploy.M028"]
    assert "auth.0099_newer" in finding.message
