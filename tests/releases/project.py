"""A Django project made with `django-admin startproject`, as a user of `deploy` would have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

NOTE = "    note = models.TextField(null=True)\n"
ROOT = Path(__file__).resolve().parent.parent.parent

MODELS = """
from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2, db_default=0)
{fields}
"""

FIRST = """
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False, auto_created=True)),
                ("name", models.CharField(max_length=100)),
                ("price", models.DecimalField(max_digits=8, decimal_places=2, db_default=0)),
            ],
        )
    ]
"""

MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "{before}")]
    operations = [{operations}]
"""


@dataclass
class Project:
    """The project's folder, its database address, and how to run its commands."""

    path: Path
    database: str
    extra: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.lstrip("\n"))

    def migration(self, name: str, *, before: str, operations: str, fields: str = "") -> None:
        self.write(f"shop/migrations/{name}.py", MIGRATION.format(before=before, operations=operations))
        self.write("shop/models.py", MODELS.format(fields=fields))

    def env(self, release: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        ours = {"PYTHONPATH": str(ROOT), "RELEASE": release, "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **ours, **self.extra}

    def start(self, *arguments: str, release: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=self.path,
            env=self.env(release),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def report(self, *arguments: str, release: str, expect: int = 0) -> dict[str, Any]:
        """Run with `--format json`; the report, after checking the exit code."""
        run = self.start(*arguments, "--format", "json", release=release)
        out, err = run.communicate(timeout=120)
        assert run.returncode == expect, f"exit {run.returncode}\n{out}\n{err}"
        report: dict[str, Any] = json.loads(out)
        assert report["exit_code"] == expect
        return report

    def status(self, release: str) -> str:
        rows = self.report("releases", "list", release=release)["steps"][0]["facts"]["releases"]
        return str(next(row["status"] for row in rows if row["release"] == release))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as database:
            return database.execute(statement.encode()).fetchall()

    def databases(self) -> list[str]:
        return [str(name) for (name,) in self.query("SELECT datname FROM pg_database")]


def step_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in report["steps"] if step["name"] == name)
    return found


def make_project(path: Path, *, engine: str, deploy: str = "{}", apps: str = '"deploy", "shop"') -> Project:
    """startproject, `deploy` in INSTALLED_APPS, one app with one migration, and a database of its own."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "mysite", str(path)],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )
    database = ""
    lines = [f"INSTALLED_APPS += [{apps}]", f"DEPLOY = {deploy}", "STATIC_ROOT = BASE_DIR / 'staticfiles'"]
    if engine == "postgresql":
        here = connection.settings_dict
        name = f"site_{uuid.uuid4().hex[:12]}"
        server = f"host={here['HOST']} user={here['USER']}"
        with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database = f"{server} dbname={name}"
        entry = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": here["USER"],
            "HOST": str(here["HOST"]),
        }
        lines.append(f"DATABASES = {{'default': {entry!r}}}")
    settings = path / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + "\n" + "\n".join(lines) + "\n")
    project = Project(path, database)
    project.write("shop/__init__.py", "")
    project.write("shop/migrations/__init__.py", "")
    project.write("shop/models.py", MODELS.format(fields=""))
    project.write("shop/migrations/0001_initial.py", FIRST)
    return project


def drop_database(project: Project) -> None:
    if project.database:
        server, _, name = project.database.partition(" dbname=")
        with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def live_with_a_note(made: Project) -> None:
    """Release r1 is live, with a nullable column `note` and a row that has one."""
    made.migration(
        "0002_note",
        before="0001_initial",
        operations='migrations.AddField("product", "note", models.TextField(null=True))',
        fields=NOTE,
    )
    made.report("predeploy", release="r1")
    made.report("postdeploy", release="r1")
    made.query("INSERT INTO shop_product (name, note) VALUES ('kept', 'precious') RETURNING id")
