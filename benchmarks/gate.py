"""How long `migrategate check --all` takes, beside `manage.py check` and two linters of the field.

    python benchmarks/gate.py [--sizes 200,400,800] [--peers | --linters PYTHON]

Makes a project of one app with that many migrations (fields added and removed, RunSQL, RunPython; a model for
every 40 of them), and times each command in a process of its own, best of three. `--peers` makes an
environment with the two linters in a temporary folder (from the package index, with the Django that runs
this); `--linters` names the interpreter of one that has them. Without either, their columns stay empty. No
database is needed for ours; theirs get an empty SQLite file. Exits 1 when the gate takes more than 2 s on top
of `manage.py check` at 800 migrations, or grows faster than the number of migrations.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 2.0
LIMIT_GROWTH = 1.3  # of the time per migration, from the smallest to the largest project
RUNS = 3
PEERS = ("django-migration-linter==6.0.0", "django-safe-migrations==0.7.1")
MIGRATIONS_PER_MODEL = 40
SETTINGS = """
import os
SECRET_KEY = "only-for-this-benchmark"
USE_TZ = True
ROOT_URLCONF = "shop.urls"
BASE_DIR = {folder!r}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.{engine}", "NAME": {name!r}}}}}
INSTALLED_APPS = ["shop", *filter(None, os.environ.get("EXTRA_APP", "").split(","))]
DEPLOY = {{}}
"""
HEAD = (
    "from django.db import migrations, models\n"
    "def fill(apps, editor):\n    pass\n"
    "class Migration(migrations.Migration):\n"
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="200,400,800")
    parser.add_argument("--linters", default="", metavar="PYTHON")
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    if options.peers:
        with tempfile.TemporaryDirectory() as folder:
            options.linters = make_environment(Path(folder))
            return measure(options)
    return measure(options)


def make_environment(folder: Path) -> str:
    """A virtual environment with the linters; its interpreter."""
    import django

    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = [*PEERS, f"django=={django.__version__}", "psycopg[binary]"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def measure(options: argparse.Namespace) -> int:
    sizes = [int(size) for size in options.sizes.split(",")]
    print(f"{'migrations':>10} {'check':>8} {'gate':>8} {'on top':>8} {'each':>9} "
          f"{'migration-linter':>24} {'safe-migrations':>24}")  # fmt: skip
    on_top: dict[int, float] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder)
            make(project, size)
            ours = {"EXTRA_APP": "deploy", "DJANGO_SETTINGS_MODULE": "site_gate"}
            theirs = {"DJANGO_SETTINGS_MODULE": "site_linters"}
            base = best(project, [sys.executable, "-m", "django", "check"], **ours)
            gate = best(
                project,
                [sys.executable, "-m", "django", "migrategate", "check", "--all"],
                may_fail=True,
                **ours,
            )
            on_top[size] = gate - base
            columns = []
            for app, command in (
                ("django_migration_linter", ["lintmigrations", "--no-cache"]),
                ("django_safe_migrations", ["check_migrations"]),
            ):
                if not options.linters:
                    columns.append("")
                    continue
                argv = [options.linters, "-m", "django", *command]
                # The slow one takes a minute and a half: once is enough to see it.
                runs = RUNS if app == "django_safe_migrations" else 1
                took = best(project, argv, runs=runs, may_fail=True, EXTRA_APP=app, **theirs)
                columns.append(f"{took:.2f} s ({took / gate:.1f} x gate)")
            print(f"{size:>10} {base:>6.2f} s {gate:>6.2f} s {on_top[size]:>6.2f} s "
                  f"{on_top[size] / size * 1000:>6.2f} ms {columns[0]:>24} {columns[1]:>24}",
                  flush=True)  # fmt: skip
    growth = (on_top[sizes[-1]] / sizes[-1]) / (on_top[sizes[0]] / sizes[0])
    print(f"time per migration, largest against smallest: {growth:.2f} (limit {LIMIT_GROWTH})")
    print(
        f"on top of manage.py check at {sizes[-1]}: {on_top[sizes[-1]]:.2f} s (limit at 800: {LIMIT_SECONDS})"
    )
    return int(on_top[sizes[-1]] > LIMIT_SECONDS * sizes[-1] / 800 or growth > LIMIT_GROWTH)


def make(project: Path, size: int) -> None:
    """The models end as the migrations leave them, so that no tool has a difference to report."""
    folder = project / "shop" / "migrations"
    folder.mkdir(parents=True)
    for path in (project / "shop", folder):
        (path / "__init__.py").touch()
    (project / "shop" / "urls.py").write_text("urlpatterns = []\n")
    (project / "site_gate.py").write_text(SETTINGS.format(engine="postgresql", name="x", folder=str(project)))
    (project / "site_linters.py").write_text(
        SETTINGS.format(engine="sqlite3", name=str(project / "db.sqlite3"), folder=str(project))
    )
    models = size // MIGRATIONS_PER_MODEL
    fields: dict[int, list[str]] = {number: [] for number in range(models)}
    creations = ", ".join(
        f'migrations.CreateModel("M{number}", [("id", models.BigAutoField(auto_created=True,'
        ' primary_key=True, serialize=False, verbose_name="ID")), ("name", models.CharField(max_length=50))'
        + (f', ("before", models.ForeignKey("shop.M{number - 1}", models.CASCADE))' if number else "")
        + "])"
        for number in range(models)
    )
    (folder / "0001_initial.py").write_text(f"{HEAD}    initial = True\n    operations = [{creations}]\n")
    previous = "0001_initial"
    for number in range(2, size + 1):
        model, field = number % models, f"f{number}"
        kind = number % 8
        if kind == 0:
            operation = 'migrations.RunSQL("SELECT 1", migrations.RunSQL.noop)'
        elif kind == 1:
            operation = "migrations.RunPython(fill, migrations.RunPython.noop)"
        elif kind == 2 and fields[model]:
            last = fields[model].pop()
            operation = f'migrations.RemoveField("m{model}", "{last}")'
        else:
            fields[model].append(field)
            operation = f'migrations.AddField("m{model}", "{field}", models.IntegerField(null=True))'
        name = f"{number:04d}_step"
        (folder / f"{name}.py").write_text(
            f'{HEAD}    dependencies = [("shop", "{previous}")]\n    operations = [{operation}]\n'
        )
        previous = name
    lines = ["from django.db import models"]
    for number in range(models):
        lines += [f"class M{number}(models.Model):", "    name = models.CharField(max_length=50)"]
        if number:
            lines.append(f"    before = models.ForeignKey('shop.M{number - 1}', models.CASCADE)")
        lines += [f"    {field} = models.IntegerField(null=True)" for field in fields[number]]
    (project / "shop" / "models.py").write_text("\n".join(lines) + "\n")


def best(
    project: Path, argv: list[str], *, runs: int = RUNS, may_fail: bool = False, **environment: str
) -> float:
    """Seconds of the fastest run; one more goes before it, to fill the caches of compiled files."""
    seconds = []
    for number in range(runs + (runs > 1)):
        began = time.perf_counter()
        done = subprocess.run(
            argv,
            cwd=project,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{project}{os.pathsep}{ROOT}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in ({0, 1} if may_fail else {0}) or "Traceback" in done.stderr:
            raise SystemExit(f"{' '.join(argv[2:])} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        if number or runs == 1:
            seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
