"""SQLite: the same commands on a file."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connections

from deploy import backup
from deploy import conf as configuration
from deploy.backup.engines import engine_of
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

Guard = Callable[[], None]
ALIAS = "backup_test_sqlite"


@pytest.fixture
def live(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "db.sqlite3"
    path.parent.mkdir()
    run(
        path,
        "PRAGMA journal_mode=WAL; PRAGMA user_version=7;"
        'CREATE TABLE "odd "" name" (id INTEGER PRIMARY KEY, data BLOB, "select" TEXT);'
        "INSERT INTO \"odd \"\" name\" VALUES (1, x'00ff', 'ü☺'), (2, NULL, NULL);"
        "CREATE TABLE django_migrations (id INTEGER, app TEXT, name TEXT);"
        "INSERT INTO django_migrations VALUES (1, 'shop', '0001_initial');"
        "CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('hello');"
        'CREATE INDEX by_select ON "odd "" name" ("select");',
    )
    return path


def run(path: Path | str, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.commit()


def rows(path: Path | str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute('SELECT * FROM "odd "" name" ORDER BY id').fetchall()


@pytest.fixture
def conf(live: Path, tmp_path: Path) -> Iterator[DeployConf]:
    entry = copy.deepcopy(connections.settings["default"])
    entry.update(ENGINE="django.db.backends.sqlite3", NAME=live, OPTIONS={})
    connections.settings[ALIAS] = entry
    yield replace(
        configuration.read()[0],
        project="small",
        environment="test",
        database=ALIAS,
        bucket=f"file://{tmp_path}/bucket",
    )
    connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, no_guard: Guard) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


def test_a_file_comes_back_byte_by_byte(
    conf: DeployConf, bucket: LocalBucket, live: Path, manifest: Manifest
) -> None:
    scratch = backup.scratch_name(conf, "v1")
    step = Step("restore")

    backup.restore_into(conf, bucket, manifest, name=scratch, step=step)
    backup.restore_into(conf, bucket, manifest, name=scratch, step=step)  # over a leftover

    assert step.findings == []
    assert rows(scratch) == rows(live) == [(1, b"\x00\xff", "ü☺"), (2, None, None)]
    assert manifest.tables['odd " name'] == 2
    assert "words" not in manifest.tables
    assert manifest.migrations == {"shop": ["0001_initial"]}
    assert manifest.objects == {"indexes": 1, "views": 0, "triggers": 0}
    assert (manifest.engine, manifest.database) == ("sqlite", "db.sqlite3")
    with closing(sqlite3.connect(scratch)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
    assert Path(scratch).parent == live.parent
    assert backup.drop_stale_scratch(conf) == [scratch]


def test_the_copy_that_is_made_for_it_is_gone(live: Path, manifest: Manifest) -> None:
    assert {path.name.partition("-")[0] for path in live.parent.iterdir()} == {"db.sqlite3"}


def test_a_copy_that_a_killed_backup_left_is_stale(conf: DeployConf, live: Path) -> None:
    from deploy.backup.scratch import scratch_prefix

    left = live.with_name(f"{scratch_prefix(conf)}copy-1234.sqlite3")
    for companion in ("", "-journal"):
        Path(f"{left}{companion}").touch()

    assert backup.drop_stale_scratch(conf) == [str(left)]
    assert list(live.parent.glob(f"{scratch_prefix(conf)}*")) == []


def test_the_backup_takes_the_live_files_place(
    conf: DeployConf, bucket: LocalBucket, live: Path, manifest: Manifest, no_guard: Guard
) -> None:
    run(live, 'DELETE FROM "odd "" name"')

    facts = backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))

    old = Path(facts["kept_as"])
    assert old.parent == live.parent
    assert (len(rows(live)), len(rows(old))) == (2, 0)
    backup.drop_replaced(conf, str(old), guard=no_guard)
    assert not old.exists()
    for name in (
        str(live),
        str(live.with_name("db_before_x.sqlite3")),
        "/etc/db_before_20261123T131850.sqlite3",
    ):
        with pytest.raises(Refusal):
            backup.drop_replaced(conf, name, guard=no_guard)


def test_a_second_name_that_a_killed_swap_left_is_cleared(
    conf: DeployConf, bucket: LocalBucket, live: Path, manifest: Manifest, no_guard: Guard
) -> None:
    left = live.with_name("db_before_20200101T000000.sqlite3")
    left.hardlink_to(live)  # killed between the two steps

    facts = backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))

    assert not left.exists()
    assert Path(facts["kept_as"]).exists()


def test_a_file_in_use_is_not_swapped(
    conf: DeployConf,
    bucket: LocalBucket,
    live: Path,
    manifest: Manifest,
    no_guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deploy.backup.engines import sqlite

    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(live)) as writer:
        writer.execute('DELETE FROM "odd "" name"')
        with pytest.raises(Refusal) as refused:
            backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))

    assert refused.value.findings[0].id == "deploy.B018"
    assert len(rows(live)) == 2
    assert not list(live.parent.glob("*_before_*"))
    assert not list(live.parent.glob("deploy_scratch*"))


def test_a_restored_file_is_checked_for_integrity(conf: DeployConf, live: Path, manifest: Manifest) -> None:
    broken = live.with_name("broken.sqlite3")
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(broken)) as target:
        source.backup(target)
    raw = bytearray(broken.read_bytes())
    raw[4096:4200] = b"\xff" * 104
    broken.write_bytes(raw)

    with pytest.raises(Refusal) as refused:
        engine_of(conf).contents(str(broken), manifest)

    assert refused.value.findings[0].id == "deploy.B019"


@pytest.mark.parametrize("name", [":memory:", "file:shared?mode=memory&cache=shared"])
def test_a_database_in_memory_is_refused(
    conf: DeployConf, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections[ALIAS].settings_dict, "NAME", name)

    with pytest.raises(Refusal) as refused:
        backup.database_name(conf)

    assert refused.value.findings[0].id == "deploy.B015"


def test_scratch_files_of_others_are_not_dropped(conf: DeployConf, live: Path, tmp_path: Path) -> None:
    other = backup.scratch_name(replace(conf, project="other"), "v1")
    elsewhere = str(tmp_path / Path(backup.scratch_name(conf, "v1")).name)

    for name in (str(live), other, elsewhere):
        with pytest.raises(Refusal) as refused:
            backup.drop_scratch(conf, name)
        assert refused.value.findings[0].id == "deploy.B010"


def test_two_at_once_one_is_told(
    conf: DeployConf, bucket: LocalBucket, live: Path, manifest: Manifest, no_guard: Guard
) -> None:
    with engine_of(conf).locked("db.sqlite3", "holding"), pytest.raises(Refusal) as refused:
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))

    assert refused.value.findings[0].id == "deploy.D009"


def test_another_engine_is_refused(conf: DeployConf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections[ALIAS], "vendor", "mysql")

    with pytest.raises(Refusal) as refused:
        backup.database_name(conf)

    assert refused.value.findings[0].id == "deploy.D002"


def test_a_file_that_is_not_there_is_a_finding_and_is_not_made(conf: DeployConf, live: Path) -> None:
    live.unlink()
    with pytest.raises(Refusal) as refused, engine_of(conf).source():
        pass
    assert [finding.id for finding in refused.value.findings] == ["deploy.D004"]
    assert not live.exists()


def test_a_linked_file_is_replaced_where_it_lies(live, conf, bucket, no_guard, tmp_path) -> None:
    link = tmp_path / "app" / "linked.sqlite3"
    link.parent.mkdir()
    link.symlink_to(live)
    connections[ALIAS].close()
    del connections[ALIAS]
    connections.settings[ALIAS]["NAME"] = str(link)
    manifest = backup.create_backup(conf, bucket, release="r", step=Step("backup"), guard=no_guard)
    run(live, 'DELETE FROM "odd "" name"')
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    assert link.is_symlink()
    assert len(rows(live)) == 2


def test_the_new_file_can_be_used_by_whom_could_use_the_old_and_by_nobody_else(
    live, conf, bucket, no_guard
) -> None:
    live.chmod(0o660)
    manifest = backup.create_backup(conf, bucket, release="r", step=Step("backup"), guard=no_guard)
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    assert live.stat().st_mode & 0o777 == 0o660


def test_does_not_wait_for_a_writer_without_end(live, conf, bucket, no_guard, monkeypatch) -> None:
    monkeypatch.setattr("deploy.backup.engines.sqlite._WRITER_SECONDS", 0.5)
    monkeypatch.setattr("deploy.backup.engines.sqlite._BUSY_SECONDS", 0.1)
    run(live, "PRAGMA journal_mode=DELETE")
    with closing(sqlite3.connect(live, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Refusal, match="a writer has held it"):
            backup.create_backup(conf, bucket, release="r", step=Step("backup"), guard=no_guard)
    assert backup.list_backups(conf, bucket) == []
