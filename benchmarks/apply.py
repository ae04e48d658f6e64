"""What the traffic of a site sees while migrations run: `migrategate apply` beside plain `manage.py migrate`.

    python benchmarks/apply.py [--clients 16] [--hold 10] [--rows 200000]

A PostgreSQL of its own, one table, clients that read and write it all the while (a statement_timeout of 8 s),
and a transaction that has read the table and stays open: begun before the migrations, or in the instant after
the applier has connected. The same three migrations are run by both: two columns, a wider varchar, and an
index CONCURRENTLY. Printed for each: how long it took, the longest statement of any client, the longest wait
for a lock that the migration held or queued for, and how many statements failed. Exits 1 when ours makes
anybody wait for more than 2.5 s, lets a statement fail, or does not finish.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LIMIT_SECONDS = 2.5
SETTINGS = """
SECRET_KEY = "only-for-this-benchmark"
USE_TZ = True
ROOT_URLCONF = "shop.urls"
BASE_DIR = {folder!r}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": {name!r}, "USER": "postgres",
    "HOST": {host!r}}}}}
INSTALLED_APPS = ["deploy", "shop"]
DEPLOY = {{"APPLY_TIMEOUT_SECONDS": 120}}
"""
MODELS = """
from django.db import models
class Order(models.Model):
    note = models.CharField(max_length=200)
    total = models.IntegerField()
    memo = models.TextField(null=True)
    priority = models.IntegerField(db_default=0)
    class Meta:
        indexes = [models.Index(fields=["total"], name="total_idx")]
"""
FIRST = """
    migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True, auto_created=True,
        serialize=False, verbose_name="ID")), ("note", models.CharField(max_length=100)),
        ("total", models.IntegerField())]),
"""
LATER = {
    "0002_columns": """
    migrations.AddField("order", "memo", models.TextField(null=True)),
    migrations.AddField("order", "priority", models.IntegerField(db_default=0)),
""",
    "0003_wider": """migrations.AlterField("order", "note", models.CharField(max_length=200)),""",
    "0004_index": """AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx")),""",
}
COMMANDS = {
    "manage.py migrate": ["migrate", "--verbosity", "0"],
    "migrategate apply": [
        "migrategate",
        "apply",
        "--phase",
        "all",
        "--format",
        "plain",
        "--unproved",
        "a benchmark",
    ],
}


def main() -> int:
    from deploy.databases import embedded

    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--hold", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    print(f"{options.clients} clients on {options.rows} rows, a transaction open for {options.hold:g} s")
    print(f"{'':<20} {'transaction':>12} {'took':>8} {'longest':>9} {'behind it':>10} {'failed':>7} of")
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        host = str(embedded.start(Path(folder) / "postgres"))
        try:
            for held in ("before", "meanwhile"):
                for name, argv in COMMANDS.items():
                    seen = run(Path(folder), host, argv, held, options)
                    failed = sum(seen["failed"].values())
                    behind = seen["longest_behind_applier_seconds"]
                    print(f"{name:<20} {held:>12} {seen['took']:7.1f}s {seen['longest_seconds']:8.2f}s "
                          f"{behind:9.2f}s {failed:7} {seen['statements']} "
                          f"{' '.join(seen['failed'])}")  # fmt: skip
                    if argv[0] == "migrategate":
                        kept &= behind <= LIMIT_SECONDS and not failed and seen["finished"]
                    if not seen["finished"]:
                        print(f"{'':<20} it did not finish: {seen['said']}")
        finally:
            embedded.stop(Path(folder) / "postgres")
    return 0 if kept else 1


def run(folder: Path, host: str, argv: list[str], held: str, options: argparse.Namespace) -> dict:
    import psycopg

    name = f"{argv[0]}_{held}"
    project = folder / name
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    make(project, host, name)
    first = manage(project, ["migrate", "shop", "0001", "--verbosity", "0"])
    assert first.returncode == 0, first.stderr
    with psycopg.connect(host=host, user="postgres", dbname=name) as session:
        session.execute(
            "INSERT INTO shop_order (note, total) SELECT 'n', i FROM generate_series(1, %s) AS i",
            [options.rows],
        )
    dsn = f"postgresql://postgres@/{name}?host={quote(host, safe='')}"
    job = {"dsn": dsn, "clients": options.clients, "held": held, "hold_seconds": options.hold}
    clients = subprocess.Popen(
        [sys.executable, "-m", "tests.gate.traffic", json.dumps(job)],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    clients.stdout.readline()
    began = time.monotonic()
    done = manage(project, argv)
    took = time.monotonic() - began
    out, _ = clients.communicate()
    said = (done.stdout + done.stderr).strip().splitlines()[-3:]
    return {**json.loads(out), "took": took, "finished": done.returncode == 0, "said": " ".join(said)}


def manage(project: Path, argv: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "PGAPPNAME": "applier",
                   "PYTHONPATH": f"{project}{os.pathsep}{ROOT}"}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "django", *argv], cwd=project, env=environment, capture_output=True, text=True
    )


def make(project: Path, host: str, name: str) -> None:
    folder = project / "shop" / "migrations"
    folder.mkdir(parents=True)
    (project / "site_settings.py").write_text(SETTINGS.format(folder=str(project), name=name, host=host))
    (project / "shop" / "__init__.py").touch()
    (project / "shop" / "urls.py").write_text("urlpatterns = []\n")
    (folder / "__init__.py").touch()
    (project / "shop" / "models.py").write_text(MODELS)
    before = ""
    for migration, operations in {"0001_initial": FIRST, **LATER}.items():
        depends = f"[('shop', {before!r})]" if before else "[]"
        (folder / f"{migration}.py").write_text(
            "from django.contrib.postgres.operations import *\n"
            "from django.db import migrations, models\n"
            f"class Migration(migrations.Migration):\n    dependencies = {depends}\n"
            f"    atomic = {migration != '0004_index'}\n    operations = [{operations}]\n"
        )
        before = migration


if __name__ == "__main__":
    raise SystemExit(main())
