"""Small apps with real migration modules on disk, and databases of their own to run them on."""

from __future__ import annotations

import contextlib
import importlib
import sys
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.db import connections
from django.test.utils import override_settings

from deploy import conf as configuration
from deploy.databases.scratch import database_alias
from deploy.gate.applying.apply import apply
from deploy.gate.graph import plan
from deploy.gate.static.check import GateReport, judge
from deploy.reporting.report import Step

INITIAL = """
    migrations.CreateModel("Customer", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
        ("email", models.CharField(max_length=100, unique=True)),
    ]),
    migrations.CreateModel("Order", [
        ("id", models.BigAutoField(primary_key=True)),
        ("note", models.CharField(max_length=100)),
        ("total", models.IntegerField()),
        ("paid", models.BooleanField(null=True)),
        ("state", models.CharField(max_length=10, db_default="new")),
        ("customer", models.ForeignKey("shop.Customer", models.CASCADE)),
    ]),
"""


@dataclass
class Shop:
    """App `shop`: `write` adds migrations (a body of operations), `forget` reloads after a change."""

    root: Path
    package: str
    names: list[str] = field(default_factory=list)

    def write(self, name: str, operations: str, *, atomic: bool = True, head: str = "") -> tuple[str, str]:
        parent = f'("shop", {self.names[-1]!r})' if self.names else ""
        depends = f"[{parent}]"
        body = (
            "import uuid\nfrom django.db import migrations, models\nfrom django.db.models import functions\n"
            "from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently\n"
            f"{textwrap.dedent(head)}\n"
            "class Migration(migrations.Migration):\n"
            f"    atomic = {atomic}\n    dependencies = {depends}\n    operations = [{operations}]\n"
        )
        (self.root / self.package / "migrations" / f"{name}.py").write_text(body)
        importlib.invalidate_caches()
        self.names.append(name)
        return ("shop", name)


@contextlib.contextmanager
def shop(tmp_path: Path) -> Iterator[Shop]:
    package = f"shop_{uuid.uuid4().hex[:10]}"
    (tmp_path / package / "migrations").mkdir(parents=True)
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "models.py").touch()  # without it Django sends the app no post_migrate
    (tmp_path / package / "migrations" / "__init__.py").touch()
    (tmp_path / package / "apps.py").write_text(
        f"from django.apps import AppConfig\nclass Shop(AppConfig):\n    name = "
        f"{package!r}\n    label = 'shop'\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        with override_settings(INSTALLED_APPS=[f"{package}.apps.Shop"]):
            yield Shop(tmp_path, package)
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]


def conf(**changes: object) -> configuration.DeployConf:
    return replace(configuration.read()[0], **changes)


@contextlib.contextmanager
def postgres(alias: str = "gate_test", *, named: str = "gate") -> Iterator[str]:
    """A new database on the suite's server, as alias `alias`, with a name that begins with `named`."""
    import psycopg
    from psycopg import sql

    server = connections.settings["default"]
    name = f"{named}_{uuid.uuid4().hex[:12]}"
    address = {"host": server["HOST"], "user": server["USER"], "dbname": "postgres", "autocommit": True}
    if server.get("PORT"):
        address["port"] = server["PORT"]
    if server.get("PASSWORD"):
        address["password"] = server["PASSWORD"]
    with psycopg.connect(**address) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with database_alias("default", name, alias=alias):
                yield alias
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.contextmanager
def sqlite(path: Path, alias: str = "gate_test") -> Iterator[str]:
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "HOST": "", "USER": "", "PORT": ""}
    connections.settings[alias] = {**connections.settings["default"], **file, "OPTIONS": {}}
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def run_all(
    alias: str,
    *,
    only: list[tuple[str, str]] | None = None,
    step: Step | None = None,
    interrupted: str = "",
    **changes: object,
):
    keys = only if only is not None else plan.pending(plan.load(alias))
    return apply(conf(database=alias, **changes), alias=alias, migrations=keys, guard=lambda: None,
                 step=step or Step("apply"), interrupted=interrupted)  # fmt: skip


def judged(alias: str, deployed: frozenset[tuple[str, str]] | None = None) -> GateReport:
    """`check` without the comparison with models.py, which these apps do not have."""
    loader = plan.load(alias)
    return judge(
        loader,
        plan.pending(loader),
        applied=frozenset(loader.applied_migrations),
        deployed=deployed,
        alias=alias,
    )


def query(alias: str, statement: str) -> list[tuple[object, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
