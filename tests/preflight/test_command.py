"""`manage.py preflight` in a fresh project that only adds the app."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.buckets.local import LocalBucket

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `django-admin startproject` makes, with `deploy` in INSTALLED_APPS."""
    folder = tmp_path_factory.mktemp("project")
    run = [sys.executable, "-m", "django", "startproject", "shop", str(folder)]
    subprocess.run(run, check=True, capture_output=True)
    settings = folder / "shop" / "settings.py"
    settings.write_text(settings.read_text() + "\nINSTALLED_APPS += ['deploy']\n")
    return folder


def manage(project: Path, *arguments: str, extra: str = "") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `manage.py`; `extra` is added to the settings."""
    name = f"changed_{abs(hash(extra))}"
    (project / "shop" / f"{name}.py").write_text(f"from shop.settings import *\n{extra}\n")
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": f"shop.{name}",
        "PYTHONWARNINGS": "error",
    }
    argv = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def report(project: Path, *arguments: str, extra: str = "") -> dict[str, Any]:
    code, out, error = manage(project, *arguments, "--format", "json", extra=extra)
    found: dict[str, Any] = json.loads(out)
    assert found["exit_code"] == code, error
    return found


def test_fresh_project_passes_with_advice(project: Path) -> None:
    found = report(project, "preflight")
    findings = [finding for step in found["steps"] for finding in step["findings"]]
    assert found["exit_code"] == 0, findings
    assert {finding["level"] for finding in findings} <= {"warning", "info"}
    assert {"deploy.P020", "deploy.P021"} <= {finding["id"] for finding in findings}  # DEBUG, the default key
    assert not (project / "db.sqlite3").exists()
    assert "django-insecure-" not in json.dumps(found)


def test_the_same_project_in_production_is_refused(project: Path) -> None:
    found = report(project, "preflight", extra="DEPLOY = {'ENVIRONMENT': 'production'}")
    assert found["exit_code"] == 1
    errors = {f["id"] for step in found["steps"] for f in step["findings"] if f["level"] == "error"}
    assert {"deploy.P020", "deploy.P021"} <= errors


def test_only_skip_fast_and_list(project: Path) -> None:
    assert [step["name"] for step in report(project, "preflight", "--fast")["steps"]] == [
        "configuration",
        "settings",
        "database",
    ]
    found = report(project, "preflight", "--only", "settings", "host", "--skip", "host=a small test machine")
    assert [(step["name"], step["skipped"]) for step in found["steps"]] == [
        ("settings", None),
        ("host", "a small test machine"),
    ]
    (listed,) = report(project, "preflight", "--list")["steps"]
    assert "static_bucket" in listed["facts"]


def test_bad_usage_is_one_finding_and_exit_2(project: Path) -> None:
    found = report(project, "preflight", "--only", "databse")
    assert found["exit_code"] == 2
    assert [f["id"] for step in found["steps"] for f in step["findings"]] == ["deploy.P003"]


@pytest.mark.parametrize("skip", ["host", "host="])
def test_skip_without_reason(project: Path, skip: str) -> None:
    found = report(project, "preflight", "--skip", skip)
    assert found["exit_code"] == 2
    assert [f["id"] for step in found["steps"] for f in step["findings"]] == ["deploy.P004"]


def test_uploadstatic_in_a_fresh_project(project: Path) -> None:
    dry = report(project, "uploadstatic", "--dry-run", "--release", "r1")
    assert dry["exit_code"] == 0
    assert [step["name"] for step in dry["steps"]] == ["plan"]
    assert len(dry["steps"][0]["facts"]["send"]) > 100  # the admin's
    assert list(LocalBucket(project / ".deploy" / "static").list()) == []
    first = report(project, "uploadstatic", "--release", "r1")
    assert first["exit_code"] == 0
    assert first["release"] == "r1"
    assert [f["id"] for step in first["steps"] for f in step["findings"]] == ["deploy.A004"]
    assert first["steps"][-1]["facts"]["sent"] == len(dry["steps"][0]["facts"]["send"])
    again = report(project, "uploadstatic", "--release", "r1")
    assert again["steps"][-1]["facts"]["sent"] == 0


def test_uploadstatic_with_a_name_that_no_object_can_have(project: Path) -> None:
    found = report(project, "uploadstatic", "--release", "../r1")
    assert found["exit_code"] == 2
    assert [f["id"] for step in found["steps"] for f in step["findings"]] == ["deploy.C006"]


def test_nothing_heavy_is_imported_by_check(project: Path) -> None:
    (project / "count.py").write_text(
        "import sys\nfrom django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', 'check'])\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('google', 'rich', 'zstandard', 'health_check', 'google_crc32c') or m.startswith('deploy.')))\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{project}"}
    environment["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    done = subprocess.run(
        [sys.executable, "count.py"], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "['deploy.apps']"
