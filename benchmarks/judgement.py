"""Who judges the corpus of tests/gate/corpus rightly: our check and rehearsal, and three linters.

    python benchmarks/judgement.py [--peers] [--misjudged FILE]

Prints, for each judge, how many of the unsafe releases it flags (an error or a warning) and how many of the
safe ones, all of it from one run on one server. With `--peers` each linter is installed from PyPI into an
environment of its own, in a temporary folder; it sees the same database, on which the store app is live, and
squawk the SQL of `sqlmigrate`, with its rules of style left out. `--misjudged` writes what ours gets wrong.
Exits 1 when one of ours is worse than the best linter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = {
    "django-migration-linter": ("django-migration-linter==6.0.0", "django_migration_linter",
                                ["lintmigrations", "--no-cache", "--unapplied-migrations",
                                 "--warnings-as-errors", "--sql-analyser", "postgresql"]),
    "django-safe-migrations": ("django-safe-migrations==0.7.1", "django_safe_migrations",
                               ["check_migrations", "store", "--new-only", "--fail-on-warning",
                                "--database-vendor", "postgresql"]),
}  # fmt: skip
# Of squawk's rules those that speak of style or robustness, not of this statement on a table in use.
STYLE = (
    "ban-char-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity",
    "prefer-robust-stmts", "prefer-text-field", "prefer-timestamptz", "require-timeout-settings",
    "require-table-schema",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What one judge flags: case name → its words, empty for nothing."""

    judge: str
    said: Mapping[str, str]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--misjudged", type=Path, default=None)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from tests.gate.corpus import world
    from tests.gate.corpus.cases import CASES

    held = [case for case in CASES if not case.disputed]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with world.template(root) as live:
            judges = list(ours(root, live))
            if options.peers:
                judges += peers(root, live)
    unsafe = [case.name for case in held if case.unsafe]
    safe = [case.name for case in held if not case.unsafe]
    print(f"{'judge':28} {'unsafe, flagged':>18} {'safe, flagged':>18}")
    right: dict[str, int] = {}
    for one in judges:
        caught = sum(bool(one.said.get(name)) for name in unsafe)
        alarms = sum(bool(one.said.get(name)) for name in safe)
        right[one.judge] = caught - alarms
        print(f"{one.judge:28} {caught:>11} of {len(unsafe):>3} {alarms:>11} of {len(safe):>3}")
    check, rehearsal = judges[0].said, judges[1].said
    wrong = [case for case in held if bool(check[case.name] or rehearsal[case.name]) != case.unsafe]
    lines = [
        " | ".join(
            (
                "miss" if case.unsafe else "false alarm",
                case.name,
                case.kind or "safe",
                case.reason,
                check[case.name] or "–",
                rehearsal[case.name] or "–",
            )
        )
        for case in wrong
    ]
    print("\n".join(lines))
    if options.misjudged:
        options.misjudged.write_text(
            "wrong | case | truth | what happens | check | rehearsal\n" + "\n".join(lines) + "\n"
        )
    return int(any(right["ours"] < count for judge, count in right.items() if not judge.startswith("our")))


def ours(root: Path, live: str) -> Iterator[Judged]:
    """Check, rehearsal, and both together."""
    from django.db import connections

    from tests.gate.corpus import world
    from tests.gate.corpus.cases import CASES
    from tests.gate.corpus.verdicts import checked, verdict, words

    check: dict[str, str] = {}
    rehearsal: dict[str, str] = {}
    copies = world.Copies(live, "judgement_copy")
    with world.copy(live, "judgement_live") as alias:
        for number, case in enumerate(CASES):
            print(f"{number} of {len(CASES)}", end="\r", file=sys.stderr)
            with world.installed(root, case):
                report = checked(alias)
                connections[alias].close()
                try:
                    with copies.use() as scratch:
                        found = verdict(report, scratch)
                        check[case.name], rehearsal[case.name] = words(found.check), words(found.rehearsal)
                except Exception as error:  # noqa: BLE001 – a crash is a verdict too: the wrong one
                    check[case.name], rehearsal[case.name] = "", f"CRASH {type(error).__name__}: {error}"
        copies.close()
    yield Judged("our check", check)
    yield Judged("our rehearsal", rehearsal)
    yield Judged("ours", {name: check[name] or rehearsal[name] for name in check})


def peers(root: Path, live: str) -> list[Judged]:
    projects = dict(write_projects(root / "projects", live))
    found = []
    for judge, (requirement, app, command) in PEERS.items():
        python = environment(root / judge, requirement, "Django==5.2.*", "psycopg[binary]")
        exits = run_in(python, app, command, projects)
        found.append(Judged(judge, {name: "flagged" if code else "" for name, (code, _) in exits.items()}))
    python = environment(root / "squawk", "squawk-cli==2.70.0", "Django==5.2.*", "psycopg[binary]")
    squawk = python.parent / "squawk"
    said = {}
    for name, folder in projects.items():
        said[name] = ""
        for body in sorted((folder / "sql").glob("*.sql")):
            argv = [str(squawk), "--pg-version", "18.0", "--exclude", ",".join(STYLE), str(body)]
            if body.stem.endswith("_atomic"):
                argv.insert(1, "--assume-in-transaction")
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            said[name] += "flagged" if done.returncode else ""
    found.append(Judged("squawk", said))
    return found


def environment(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these; its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python


def write_projects(folder: Path, live: str) -> Iterator[tuple[str, Path]]:
    """A project for each case, and the SQL of its migrations."""
    from django.core.management import call_command

    from tests.gate.corpus import world
    from tests.gate.corpus.cases import CASES

    address = world.address(live)
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": live, "USER": address["user"],
                "HOST": address["host"], "PORT": str(address.get("port", "")),
                "PASSWORD": address.get("password", "")}  # fmt: skip
    with world.copy(live, "judgement_sql") as alias:
        for number, case in enumerate(CASES):
            project = folder / f"case{number}"
            names = world.write(project / "store", case.bodies)
            (project / "settings.py").write_text(
                "import os\nSECRET_KEY = 'only-for-this-benchmark'\nUSE_TZ = True\n"
                "INSTALLED_APPS = ['store.apps.Store', os.environ['PEER']]\n"
                "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
                f"DATABASES = {{'default': {database!r}}}\n"
            )
            (project / "sql").mkdir()
            with world.installed(folder, case):
                for name, body in zip(names, case.bodies, strict=True):
                    path = project / "sql" / f"{name}{'_atomic' if body.atomic else ''}.sql"
                    try:
                        with path.open("w") as out:
                            call_command("sqlmigrate", "store", name, database=alias, stdout=out)
                    except Exception:  # noqa: BLE001 – where Django can't make the SQL, squawk sees none
                        path.unlink()
                        continue
                    # squawk is told that there is a transaction; a BEGIN of its own would be one too many.
                    lines = [
                        line for line in path.read_text().splitlines() if line not in ("BEGIN;", "COMMIT;")
                    ]
                    path.write_text("\n".join(lines) + "\n")
            yield case.name, project


DRIVER = """
import contextlib, io, json, os, sys
app, command, projects = json.load(sys.stdin)
import django, django.db.migrations, django.contrib.postgres.operations, psycopg, importlib
importlib.import_module(app)
for name, folder in projects.items():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.environ.update(PEER=app, DJANGO_SETTINGS_MODULE="settings")
        sys.path.insert(0, folder)
        os.chdir(folder)
        said, code = io.StringIO(), 0
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                django.setup()
                from django.core.management import call_command
                call_command(*command)
            except SystemExit as error:
                code = int(bool(error.code))
            except BaseException as error:
                code = 0
                said.write(f"CRASH {type(error).__name__}: {error}")
        os.write(write, json.dumps([code, said.getvalue()[-20000:]]).encode()[:60000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        body = answer.read()
    os.waitpid(child, 0)
    print(json.dumps([name, *json.loads(body)]), flush=True)
"""


def run_in(
    python: Path, app: str, command: list[str], projects: Mapping[str, Path]
) -> dict[str, tuple[int, str]]:
    """The command's exit code and output for each project, run by that interpreter in one process a case."""
    done = subprocess.run(
        [str(python), "-c", DRIVER],
        input=json.dumps([app, command, {name: str(folder) for name, folder in projects.items()}]),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (code, said) for name, code, said in lines}


if __name__ == "__main__":
    sys.exit(main())
