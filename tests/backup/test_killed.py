"""kill -9 at the worst moments: nothing half visible, nobody left behind, the next run converges."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy import backup
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS, archives

Guard = Callable[[], None]
Query = Callable[..., list[Any]]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel ends children of the killed on Linux"
)


@contextmanager
def subject(conf: DeployConf, live: str, do: str, name: str = "") -> Iterator[subprocess.Popen[str]]:
    folder = conf.bucket.removeprefix("file://").removesuffix("/bucket")
    task = {"do": do, "live": live, "name": name, "project": conf.project, "folder": folder}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.backup.subject", json.dumps(task)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TEST_DATABASE_URL": os.environ["DATABASE_URL"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def child(parent: int, name: str) -> int | None:
    """The pid of `parent`'s child process `name`."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" ", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        comm, _, fields = rest.rpartition(") ")
        if comm == f"({name}" and int(fields.split()[1]) == parent:
            return int(pid)
    return None


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_killed_during_the_dump(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    with server.connect(ALIAS) as blocker:
        blocker.autocommit = False
        blocker.execute("LOCK TABLE person")  # pg_dump waits behind it, for as long as we like
        with subject(conf, awkward, "backup") as process:
            dump = until(lambda: child(process.pid, "pg_dump"))
            until(
                lambda: query(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database() AND query LIKE 'LOCK%'"
                )
            )
            process.send_signal(signal.SIGKILL)
            process.wait()
            until(lambda: gone(dump), seconds=5)
        blocker.rollback()

    assert archives(bucket) == []
    backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    assert len(backup.list_backups(conf, bucket)) == 1


@pytest.fixture
def held(awkward: str, query: Query) -> Iterator[Callable[[], None]]:
    """A row of the live database that takes a minute to come back, until what this yields is called."""
    role = f"hold_{awkward}"
    query(
        f"""CREATE ROLE {role};
        CREATE FUNCTION hold(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
            IF current_database() <> '{awkward}'
                AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN
                PERFORM pg_catalog.pg_sleep(60);
            END IF;
            RETURN t; END $$;
        CREATE TABLE slow (a text, b text GENERATED ALWAYS AS (hold(a)) STORED);
        INSERT INTO slow VALUES ('x');"""  # noqa: S608 – names of our own making
    )
    yield lambda: query(f"DROP ROLE IF EXISTS {role}") and None
    query(f"DROP ROLE IF EXISTS {role}")


def is_loading(query: Query, conf: DeployConf) -> Callable[[], Any]:
    # In this test's databases only: the server may not have noticed yet that another's client was killed.
    sleeping = "wait_event = 'PgSleep' AND query LIKE 'COPY public.slow%'"
    prefix = conf.scratch_prefix
    return lambda: query(
        f"SELECT 1 FROM pg_stat_activity WHERE {sleeping} AND starts_with(datname, '{prefix}')"  # noqa: S608 – names of our own making
    )


def group_of(leader: int) -> list[int]:
    """The processes of the group that `leader` leads, itself included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" ", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.rpartition(") ")[2].split()[2]) == leader:
            found.append(int(pid))
    return found


def test_killed_during_the_restore(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    databases: Callable[[str], set[str]],
    held: Callable[[], None],
) -> None:
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    scratch = backup.scratch_name(conf, "killed")
    with subject(conf, awkward, "restore") as process:
        until(is_loading(query, conf))
        leader = child(process.pid, "pg_restore")
        assert leader is not None
        loading = group_of(leader)
        assert len(loading) == 1 + conf.backup.restore_jobs
        assert backup.drop_stale_scratch(conf) == []  # it is being filled
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: all(map(gone, loading)), seconds=5)
        until(lambda: not is_loading(query, conf)(), seconds=5)  # the server was told to stop

    assert databases(conf.scratch_prefix) == {scratch}
    held()
    step = Step("restore")
    until(lambda: not server.is_locked(ALIAS, scratch))
    backup.restore_into(conf, bucket, manifest, name=scratch, step=step)
    assert step.findings == []
    assert backup.drop_stale_scratch(conf) == [scratch]
    assert databases(conf.scratch_prefix) == set()


def test_killed_while_the_archive_is_unpacked(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    databases: Callable[[str], set[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setenv("TMPDIR", str(spool))
    backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    with subject(conf, awkward, "unpack") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        files = [path.resolve() for path in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert any(path.is_relative_to(spool) for path in files)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert list(spool.iterdir()) == []
    assert databases(conf.scratch_prefix) == set()


def test_killed_between_the_two_renames(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    databases: Callable[[str], set[str]],
) -> None:
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    query("INSERT INTO animal VALUES ('after the backup')")

    with subject(conf, awkward, "swap") as process:
        assert process.wait(30) == -signal.SIGKILL

    until(lambda: not server.is_locked(ALIAS, awkward))
    assert databases(awkward) == {awkward}
    assert len(query("SELECT name FROM ONLY animal")) == 2  # the live one, untouched
    assert len(backup.drop_stale_scratch(conf)) == 1
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    assert len(query("SELECT name FROM ONLY animal")) == 1
    assert len(databases(awkward)) == 2


def test_killed_while_it_is_swapped_back(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    databases: Callable[[str], set[str]],
) -> None:
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    query("INSERT INTO animal VALUES ('late')")
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    (kept,) = backup.list_kept(conf)

    with subject(conf, awkward, "swap back", name=kept.name) as process:
        assert process.wait(30) == -signal.SIGKILL

    until(lambda: not (server.is_locked(ALIAS, awkward) or server.is_locked(ALIAS, kept.name)))
    assert databases(awkward) == {awkward, kept.name}
    assert query("SELECT name FROM ONLY animal") == [("cat",)]
    plan = backup.plan_swap_back(conf, kept.name)
    facts = backup.swap_back(conf, plan, guard=no_guard, step=Step("swap back"))
    assert len(query("SELECT name FROM ONLY animal")) == 2
    assert databases(awkward) == {awkward, facts["kept_as"]}


def test_killed_while_tables_are_brought_back(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    databases: Callable[[str], set[str]],
    held: Callable[[], None],
) -> None:
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    with subject(conf, awkward, "tables", name="look") as process:
        until(is_loading(query, conf))
        process.send_signal(signal.SIGKILL)
        process.wait()
    (scratch,) = databases(conf.scratch_prefix)
    assert query("SELECT 1 FROM pg_namespace WHERE nspname = 'look'") == []

    held()
    until(lambda: not server.is_locked(ALIAS, scratch))
    plan = backup.plan_tables(conf, manifest, ["slow", "animal"], beside="look")
    backup.restore_tables(conf, bucket, manifest, plan, step=Step("restore"))

    assert query("SELECT a FROM look.slow") == [("x",)]
    assert databases(conf.scratch_prefix) == set()


@pytest.mark.parametrize(("do", "then"), [("restore beside", "drop the stale"), ("name", "restore again")])
def test_killed_while_a_database_beside_the_live_one_is_filled(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    databases: Callable[[str], set[str]],
    held: Callable[[], None],
    do: str,
    then: str,
) -> None:
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    beside = f"{awkward}_look"
    if do == "name":
        held()
    with subject(conf, awkward, do, name=beside) as process:
        assert process.stdout is not None
        if do == "name":
            assert process.stdout.readline() == "reached\n"
        else:
            until(is_loading(query, conf))
        assert databases(awkward) == {awkward}
        assert backup.drop_stale_scratch(conf) == []  # it is being filled
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert databases(awkward) == {awkward}
    (left,) = databases(conf.scratch_prefix)
    held()
    until(lambda: not (server.is_locked(ALIAS, left) or server.is_locked(ALIAS, beside)))
    if then == "drop the stale":
        assert backup.drop_stale_scratch(conf) == [left]
    step = Step("restore")
    facts = backup.restore_beside(conf, bucket, manifest, name=beside, step=step)

    assert (facts["database"], step.findings) == (beside, [])
    assert query("SELECT name FROM ONLY animal", beside) == [("cat",)]
    assert databases(conf.scratch_prefix) == set()


@pytest.mark.parametrize("folder", [".", "elsewhere"])
def test_killed_while_a_sqlite_file_beside_the_live_one_is_filled(
    sqlite_conf: DeployConf, bucket: LocalBucket, no_guard: Guard, folder: str
) -> None:
    conf = sqlite_conf
    live = Path(backup.scratch_name(conf, "x")).with_name(backup.database_name(conf))
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    target = live.parent / folder / "look.sqlite3"
    target.parent.mkdir(exist_ok=True)
    with subject(conf, str(live), "restore beside", name=str(target)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        assert not target.exists()
        assert backup.drop_stale_scratch(conf) == []  # it is being filled
    assert not target.exists()
    left = [path for path in target.parent.iterdir() if path.is_file() and path != live]
    assert len(left) == 1
    if folder == ".":
        assert backup.drop_stale_scratch(conf) == [str(left[0])]

    with subject(conf, str(live), "name", name=str(target)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
    with closing(sqlite3.connect(target)) as connection:  # whole, under both names
        assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]
    target.unlink()

    facts = backup.restore_beside(conf, bucket, manifest, name=str(target), step=Step("restore"))

    assert facts["database"] == str(target)
    assert {path for path in target.parent.iterdir() if path.is_file()} - {live} == {target}
    with pytest.raises(Refusal) as refused:
        backup.restore_beside(conf, bucket, manifest, name=str(target), step=Step("restore"))
    assert refused.value.findings[0].id == "deploy.B009"
