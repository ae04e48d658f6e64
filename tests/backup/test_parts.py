"""Several pg_dump processes on one snapshot: together exactly one dump, and all of it or nothing."""

from __future__ import annotations

import io
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import backup
from deploy.backup.archive import Stored, read_archive
from deploy.backup.engines import postgresql_dump, postgresql_parts
from deploy.backup.engines.postgresql_digests import Table
from deploy.backup.engines.postgresql_parts import exact, share_out
from deploy.backup.manifest import Manifest, Part
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.client_tools import find_tool
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS, archives
from .test_killed import gone, subject, until

Guard = Callable[[], None]
Query = Callable[..., list[Any]]

ODD = """
CREATE SCHEMA "Odd. ""schema"" $1";
CREATE TABLE "Odd. ""schema"" $1"."t.*|[a]\\?(b){2}^$ é ☺" (id serial PRIMARY KEY, pad text);
INSERT INTO "Odd. ""schema"" $1"."t.*|[a]\\?(b){2}^$ é ☺" (pad)
SELECT repeat('o', 50) FROM generate_series(1, 50);
CREATE TABLE "T" (id int); INSERT INTO "T" VALUES (1); CREATE TABLE t (id int); INSERT INTO t VALUES (2), (3);
CREATE TABLE "t.t" (id bigint GENERATED ALWAYS AS IDENTITY); INSERT INTO "t.t" DEFAULT VALUES;
CREATE TABLE own_number (id int PRIMARY KEY DEFAULT nextval('tickets'));
ALTER SEQUENCE tickets OWNED BY own_number.id;
INSERT INTO own_number DEFAULT VALUES;
"""


def table(name: str, size: int) -> Table:
    return Table("public", name, size, ("id",), ("id",))


def names(groups: list[tuple[Table, ...]]) -> list[list[str]]:
    return [[table.name for table in group] for group in groups]


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_parts, "WORTH_BYTES", 0)


def with_jobs(conf: DeployConf, jobs: int) -> DeployConf:
    return replace(conf, backup=replace(conf.backup, jobs=jobs))


def take(conf: DeployConf, bucket: LocalBucket, guard: Guard) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=guard)


def listing(bucket: LocalBucket, manifest: Manifest, part: Part) -> list[str]:
    """What pg_restore says is in a part: the entries' kinds and names."""
    stored = Stored(part.raw_bytes, part.stored_bytes, part.sha256, part.crc32c)
    raw = b"".join(read_archive(io.BytesIO(bucket.read(manifest.object_name(part.file))), stored))
    tool = find_tool("pg_restore", server_major=int(manifest.client_version))
    done = subprocess.run([tool.path, "--list"], input=raw, capture_output=True, check=True)
    return [
        line.split(" ", 3)[3]
        for line in done.stdout.decode().splitlines()
        if line and not line.startswith(";")
    ]


def test_large_tables_are_shared_out_by_size() -> None:
    mega = 1024**2
    tables = [table(name, size * mega) for name, size in [("a", 100), ("b", 90), ("c", 80), ("d", 70)]]

    assert names(share_out(tables, 1)) == []
    assert names(share_out(tables, 2)) == [["b", "c"]]
    assert names(share_out(tables, 3)) == [["b"], ["c", "d"]]
    assert names(share_out(tables, 9)) == [["b"], ["c"], ["d"]]
    assert names(share_out([*tables, *(table(f"s{n}", 31 * mega) for n in range(20))], 2)) == [
        ["a", "b", "c", "d"]
    ]
    assert names(share_out([table("small", 31 * mega)], 8)) == []


def test_a_pattern_matches_one_name() -> None:
    assert exact("public", "t") == '"public"."t"'
    assert exact('a"b', "C.*") == '"a""b"."C.*"'


@pytest.mark.parametrize("jobs", [2, 3, 8])
@pytest.mark.usefixtures("all_are_large")
def test_everything_awkward_comes_back_from_several_parts(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query, jobs: int
) -> None:
    query(ODD)
    manifest = take(with_jobs(conf, jobs), bucket, no_guard)
    scratch = backup.scratch_name(conf, "v1")
    step = Step("restore")

    backup.restore_into(conf, bucket, manifest, name=scratch, step=step)

    assert len(manifest.parts) == jobs
    assert [part.file for part in manifest.parts[:2]] == ["archive.dump.zst", "archive-2.dump.zst"]
    assert step.findings == []
    for statement in (
        "SELECT * FROM person ORDER BY id",
        "SELECT * FROM event ORDER BY at",
        "SELECT tableoid::regclass::text, * FROM animal ORDER BY 1, 2",
        "SELECT last_value, is_called FROM tickets",
        'SELECT last_value, is_called FROM "t.t_id_seq"',
        "SELECT * FROM totals",
        'SELECT * FROM "T"',
        "SELECT * FROM t",
        'SELECT * FROM "Odd. ""schema"" $1"."t.*|[a]\\?(b){2}^$ é ☺" ORDER BY id',
        "SELECT lo_get(oid) FROM pg_largeobject_metadata",
    ):
        assert query(statement, scratch) == query(statement), statement
    assert query("SELECT nextval('tickets')", scratch) == [(1021,)]


@pytest.mark.usefixtures("all_are_large")
def test_each_thing_is_in_exactly_one_part(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    query(ODD)
    manifest = take(with_jobs(conf, 3), bucket, no_guard)

    parts = [listing(bucket, manifest, part) for part in manifest.parts]
    kinds = [{entry.split()[0] for entry in part} for part in parts]
    assert kinds[1] == kinds[2] == {"TABLE"}
    everything = [entry for part in parts for entry in part]
    data = [entry for entry in everything if entry.startswith(("TABLE DATA", "SEQUENCE SET"))]
    assert len(data) == len(set(data))
    assert len([entry for entry in data if entry.startswith("TABLE DATA")]) == len(manifest.tables)
    assert len([entry for entry in data if entry.startswith("SEQUENCE SET")]) == len(manifest.sequences)
    for part, entries in zip(manifest.parts[1:], parts[1:], strict=True):
        assert len(part.tables) == len(entries)
    assert sum(len(part.tables) for part in manifest.parts) < len(manifest.tables)  # the first has some too


@pytest.mark.usefixtures("all_are_large")
def test_the_parts_are_of_one_moment(
    conf: DeployConf,
    bucket: LocalBucket,
    live: str,
    no_guard: Guard,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query(
        "CREATE TABLE a (n int); CREATE TABLE b (n int); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)"
    )
    running = postgresql_dump.running

    def change_and_run(*args: Any, **kwargs: Any) -> Any:
        query("INSERT INTO a VALUES (2); INSERT INTO b VALUES (2)")
        return running(*args, **kwargs)

    monkeypatch.setattr(postgresql_dump, "running", change_and_run)
    manifest = take(with_jobs(conf, 2), bucket, no_guard)
    step = Step("restore")
    backup.restore_into(conf, bucket, manifest, name=backup.scratch_name(conf, "v1"), step=step)

    assert manifest.tables == {"public.a": 1, "public.b": 1}
    assert len(manifest.parts) == 2
    assert step.findings == []


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.usefixtures("all_are_large")
def test_one_dump_that_fails_fails_the_backup_and_nothing_is_visible(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
    which: int,
) -> None:
    running, started = postgresql_dump.running, iter(range(3))

    def run(argv: list[str], **kwargs: Any) -> Any:
        return running([*argv, *(["--snapshot=no-such"] if next(started) == which else [])], **kwargs)

    monkeypatch.setattr(postgresql_dump, "running", run)
    with pytest.raises(Refusal) as refused:
        take(with_jobs(conf, 3), bucket, no_guard)

    assert refused.value.exit_code == 1
    assert [finding.id for finding in refused.value.findings] == ["deploy.B003"]
    assert "snapshot" in refused.value.findings[0].message
    assert archives(bucket) == []


@pytest.mark.usefixtures("all_are_large")
def test_one_part_that_cannot_be_stored_fails_the_backup(
    conf: DeployConf, awkward: str, no_guard: Guard, tmp_path: Path
) -> None:
    class Full(LocalBucket):
        def open_write(self, name: str, **kwargs: Any) -> Any:
            if name.endswith("archive-3.dump.zst"):
                raise OSError(28, "No space left on device")
            return super().open_write(name, **kwargs)

    bucket = Full(tmp_path / "bucket")
    with pytest.raises(OSError, match="No space left"):
        take(with_jobs(conf, 3), bucket, no_guard)

    assert archives(bucket) == []


@pytest.mark.usefixtures("all_are_large")
def test_a_lost_guard_leaves_no_backup_of_several_parts(
    conf: DeployConf, bucket: LocalBucket, awkward: str
) -> None:
    for survives in range(4):
        left = [survives]

        def guard(left: list[int] = left) -> None:
            if left[0] == 0:
                raise Refusal(exit_code=75)
            left[0] -= 1

        with pytest.raises(Refusal) as refused:
            take(with_jobs(conf, 2), bucket, guard)
        assert refused.value.exit_code == 75
        assert backup.list_backups(conf, bucket) == []


def test_every_process_of_a_killed_backup_ends(
    conf: DeployConf, bucket: LocalBucket, awkward: str, query: Query, tmp_path: Path
) -> None:
    with (
        server.connect(ALIAS) as blocker,
        subject(conf, awkward, "backup in parts") as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        blocker.autocommit = False
        # Every pg_dump waits behind it, for as long as we like.
        blocker.execute('LOCK TABLE person, "order", event, animal, guarded, django_migrations')
        (tmp_path / "go").touch()
        dumps = until(lambda: len(found := children(process.pid, "pg_dump")) == 3 and found)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: all(map(gone, dumps)), seconds=5)
        blocker.rollback()

    assert archives(bucket) == []
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    until(lambda: query(sessions) == [(0,)])


def children(parent: int, name: str) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" ", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        comm, _, fields = rest.rpartition(") ")
        if comm == f"({name}" and int(fields.split()[1]) == parent:
            found.append(int(pid))
    return found
