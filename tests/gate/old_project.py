"""A whole project on disk, as ugly as its test wants it, and the real command run over it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
SECRET_KEY = "only-for-this-test"
DEBUG = True
ROOT_URLCONF = "urls_"
USE_TZ = True
BASE_DIR = {root!r}
DATABASES = {databases!r}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "deploy", *{apps!r}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEPLOY = {{"APPLY_TIMEOUT_SECONDS": 20}}
"""
HEAD = "from django.db import migrations, models\n"
KEY = '("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))'


def migration(
    operations: str, *, after: str = "", depends: str = "", head: str = "", body: str = "initial = False"
) -> str:
    """The text of a migration module: `after` names the one before it as `app.name`."""
    parents = [tuple(name.split(".")) for name in f"{after} {depends}".split()]
    return (
        f"{HEAD}{textwrap.dedent(head)}\nclass Migration(migrations.Migration):\n"
        f"    {body}\n    dependencies = {parents!r}\n    operations = [{operations}]\n"
    )


@dataclass
class Ran:
    """What the command said."""

    code: int
    report: dict
    stderr: str

    @property
    def findings(self) -> list[dict]:
        return [finding for step in self.report["steps"] for finding in step["findings"]]

    def ids(self, place: str | None = None, *, levels: tuple[str, ...] = ("error", "warning")) -> list[str]:
        """The ids of the findings at `place` (everywhere, without it)."""
        return [
            one["id"].removeprefix("deploy.")
            for one in self.findings
            if one["level"] in levels and place in {None, one["place"]}
        ]

    def text(self, number: str) -> str:
        return "\n".join(one["message"] for one in self.findings if one["id"] == f"deploy.{number}")


@dataclass
class OldProject:
    root: Path
    apps: list[str] = field(default_factory=list)
    databases: dict[str, dict] = field(default_factory=dict)
    settings: str = ""
    #: what is in front of Python's path, for packages that are "installed"
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.databases.setdefault(
            "default", {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.root / "db.sqlite3")}
        )
        (self.root / "urls_.py").write_text("urlpatterns = []\n")

    def file(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text), encoding="utf-8")

    def app(self, label: str, models: str = "", migrations: dict[str, str] | None = None) -> None:
        """An installed app; its models module imports `models` of Django by itself."""
        self.apps.append(label)
        self.file(f"{label}/__init__.py", "")
        self.file(f"{label}/models.py", "from django.db import models\n" + textwrap.dedent(models))
        if migrations is not None:
            self.file(f"{label}/migrations/__init__.py", "")
            for name, text in migrations.items():
                self.file(f"{label}/migrations/{name}.py", text)

    def manage(self, *arguments: str) -> int:
        """Another command of `manage.py`; its exit code."""
        return self._run(*arguments).returncode

    def run(self, *arguments: str) -> Ran:
        """`manage.py migrategate` with these arguments; asserts that it is a report and no traceback."""
        done = self._run("migrategate", *arguments, "--format", "json")
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        assert done.stdout.startswith("{"), done.stderr
        ran = Ran(done.returncode, json.loads(done.stdout), done.stderr)
        assert ran.code in {0, 1, 2}
        assert "deploy.R001" not in [one["id"] for one in ran.findings], ran.findings
        return ran

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        settings = SETTINGS.format(root=str(self.root), databases=self.databases, apps=self.apps)
        self.file("old_settings.py", settings + textwrap.dedent(self.settings))
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "old_settings",
            "PYTHONPATH": os.pathsep.join([*self.paths, str(self.root), str(ROOT)]),
            "GITHUB_ACTIONS": "",
        }
        argv = [sys.executable, "-m", "django", *arguments]
        return subprocess.run(
            argv, env=environment, cwd=self.root, capture_output=True, text=True, check=False, timeout=120
        )
