"""What a rehearsal costs on top of restoring a backup and migrating it.

    python benchmarks/rehearsal.py [--rows 1500000] [--runs 2]

Makes a live database on an embedded PostgreSQL (about 300 MB for the default), dumps it, and then, in turns:
restores the dump into a scratch database and runs `manage.py migrate` there; restores it again and runs
`manage.py migrategate rehearse --scratch` there, without the interruption drill. Every run is a process of
its own; best of `--runs`. Exits 1 when the rehearsal takes more than 1.25 times as long.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_RATIO = 1.25
SCRATCH = "deploy_scratch_benchmark"
SETTINGS = """
SECRET_KEY = "only-for-this-benchmark"
USE_TZ = True
ROOT_URLCONF = "shop.urls"
BASE_DIR = {folder!r}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
import os
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["DATABASE"],
    "HOST": {host!r}, "USER": "postgres"}}}}
INSTALLED_APPS = ["deploy", "shop"]
DEPLOY = {{}}
"""
MODELS = """
from django.db import models
class Customer(models.Model):
    name = models.CharField(max_length=50)
    email = models.CharField(max_length=100, unique=True)
    city = models.TextField(null=True)
class Order(models.Model):
    note = models.CharField(max_length=200)
    total = models.IntegerField()
    made = models.DateTimeField(db_index=True)
    customer = models.ForeignKey(Customer, models.CASCADE)
    state = models.CharField(max_length=9, db_default="new")
    class Meta:
        indexes = [models.Index(fields=["total"], name="order_total")]
        constraints = [models.CheckConstraint(condition=models.Q(total__gte=0), name="total_not_negative")]
class Tag(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    name = models.CharField(max_length=20)
"""
HEAD = """
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models
class Migration(migrations.Migration):
"""
FIRST = """
        migrations.CreateModel("Customer", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=50)),
            ("email", models.CharField(max_length=100, unique=True))]),
        migrations.CreateModel("Order", [
            ("id", models.BigAutoField(primary_key=True)),
            ("note", models.CharField(max_length=100)),
            ("total", models.IntegerField()),
            ("made", models.DateTimeField(db_index=True)),
            ("customer", models.ForeignKey("shop.Customer", models.CASCADE))]),
"""
CHECK = 'models.CheckConstraint(condition=models.Q(total__gte=0), name="total_not_negative")'
PENDING = {
    "0002_city": 'migrations.AddField("customer", "city", models.TextField(null=True))',
    "0003_index": 'AddIndexConcurrently("order", models.Index(fields=["total"], name="order_total"))',
    "0004_wider": 'migrations.AlterField("order", "note", models.CharField(max_length=200))',
    "0005_state": 'migrations.AddField("order", "state", models.CharField(max_length=9, db_default="new"))',
    "0006_tag": """migrations.CreateModel("Tag", [
        ("id", models.BigAutoField(primary_key=True)),
        ("order", models.ForeignKey("shop.Order", models.CASCADE)),
        ("name", models.CharField(max_length=20))])""",
    "0007_check": f'AddConstraintNotValid("order", {CHECK})',
    "0008_validate": 'ValidateConstraint("order", "total_not_negative")',
}

FILL = (
    "INSERT INTO shop_customer (name, email) SELECT 'n' || i, 'e' || i"
    " FROM generate_series(1, {customers}) i",
    "INSERT INTO shop_order (note, total, made, customer_id) SELECT repeat('n', 80), i, now(),"
    " 1 + i % {customers} FROM generate_series(1, {rows}) i",
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from deploy.databases import embedded

    with tempfile.TemporaryDirectory(prefix="rehearsal") as folder:
        host = str(embedded.start(Path(folder) / "server"))
        project = Path(folder) / "project"
        make(project, host)
        binaries = embedded.bin_dir()
        server = Server(host, binaries, Path(folder) / "live.dump")
        server.fill(project, options.rows)
        plain, rehearsed = [], []
        for _ in range(options.runs):
            plain.append(server.restored(lambda: manage(project, SCRATCH, "migrate", "--verbosity", "0")))
            rehearsed.append(
                server.restored(
                    lambda: manage(project, "live", "migrategate", "rehearse", "--scratch", SCRATCH)
                )
            )
        megabytes = server.size_bytes("live") / 1e6
        embedded.stop(Path(folder) / "server")
    restore, ours, theirs = (
        min(one for one, _ in plain + rehearsed),
        min(map(sum, rehearsed)),
        min(map(sum, plain)),
    )
    print(f"{megabytes:.0f} MB, {len(PENDING)} migrations; restoring alone {restore:.1f} s")
    print(f"restore and migrate   {theirs:6.1f} s  (migrate  {min(done for _, done in plain):5.1f} s)")
    print(f"restore and rehearse  {ours:6.1f} s  (rehearse {min(done for _, done in rehearsed):5.1f} s)")
    print(f"ratio {ours / theirs:.2f} (at most {LIMIT_RATIO})")
    return int(ours / theirs > LIMIT_RATIO)


class Server:
    def __init__(self, host: str, binaries: Path, dump: Path) -> None:
        self.host, self.binaries, self.dump = host, binaries, dump

    def run(self, tool: str, *arguments: str) -> str:
        argv = [str(self.binaries / tool), "--host", self.host, "--username", "postgres", *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def sql(self, database: str, statement: str) -> str:
        return self.run(
            "psql", "--no-psqlrc", "-tA", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement
        )

    def size_bytes(self, database: str) -> int:
        return int(self.sql("postgres", f"SELECT pg_database_size('{database}')"))

    def fill(self, project: Path, rows: int) -> None:
        self.sql("postgres", "CREATE DATABASE live")
        manage(project, "live", "migrate", "shop", "0001", "--verbosity", "0")
        for statement in FILL:
            self.sql("live", statement.format(rows=rows, customers=rows // 10))
        self.sql("live", "ANALYZE")
        self.run("pg_dump", "-Fc", "--compress=0", "-f", str(self.dump), "live")

    def restored(self, act: Callable[[], object]) -> tuple[float, float]:
        """Seconds for the restore and for what comes after it."""
        self.sql("postgres", f"DROP DATABASE IF EXISTS {SCRATCH} WITH (FORCE)")
        self.sql("postgres", "CHECKPOINT")
        began = time.perf_counter()
        self.sql("postgres", f"CREATE DATABASE {SCRATCH} TEMPLATE template0")
        self.run("pg_restore", "-d", SCRATCH, str(self.dump))
        between = time.perf_counter()
        act()
        return between - began, time.perf_counter() - between


def make(project: Path, host: str) -> None:
    migrations = project / "shop" / "migrations"
    migrations.mkdir(parents=True)
    for package in (project / "shop", migrations):
        (package / "__init__.py").touch()
    (project / "shop" / "models.py").write_text(MODELS)
    (project / "shop" / "urls.py").write_text("urlpatterns = []\n")
    (project / "site_settings.py").write_text(SETTINGS.format(folder=str(project), host=host))
    (migrations / "0001_initial.py").write_text(f"{HEAD}    operations = [{FIRST}]\n")
    before = "0001_initial"
    for name, operation in PENDING.items():
        atomic = "CONCURRENTLY" not in operation.upper()
        (migrations / f"{name}.py").write_text(
            f"{HEAD}    atomic = {atomic}\n    dependencies = [('shop', {before!r})]\n"
            f"    operations = [{operation}]\n"
        )
        before = name


def manage(project: Path, database: str, *arguments: str) -> None:
    environment = {**os.environ, "DATABASE": database, "DJANGO_SETTINGS_MODULE": "site_settings"}
    environment["PYTHONPATH"] = f"{project}{os.pathsep}{ROOT}"
    argv = [sys.executable, "-m", "django", *arguments]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
