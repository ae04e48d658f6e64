"""Companions are kept while the archive is written, and never hold up or outlive a backup that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from deploy import backup
from deploy.backup import create
from deploy.backup.companions import Abandoned, Folder, keepers
from deploy.backup.companions.beside import Beside
from deploy.backup.engines import Source
from deploy.backup.engines.postgresql import PostgreSQL
from deploy.backup.manifest import Companion
from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.conf_backup import CloudSQLConf, FirestoreConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from . import media_models


@dataclass
class Fake:
    """A keeper that does what it is told, and notes what it was given."""

    does: Callable[[Folder, Step], None] = lambda folder, step: None
    reads_snapshot: bool = False
    kind: str = "fake"
    snapshots: list[str] = field(default_factory=list)

    def keep(self, folder: Folder, step: Step) -> Companion:
        self.snapshots.append(folder.snapshot)
        self.does(folder, step)
        return Companion(self.kind, datetime.now(UTC))


def test_only_those_that_read_the_snapshot_hold_it(folder: Folder) -> None:
    may_end = threading.Event()
    reader = Fake(reads_snapshot=True)
    other = Fake(lambda folder, step: may_end.wait(60))
    step = Step("backup")
    with Beside([reader, other], step) as beside:
        beside.start(replace(folder, snapshot="the snapshot"))
        beside.release()  # returns although the other one is under way
        may_end.set()
        assert [one.kind for one in beside.finish()] == ["fake", "fake"]
    assert (reader.snapshots, other.snapshots) == (["the snapshot"], [""])


def test_what_a_keeper_raises_is_raised_by_whoever_waits(folder: Folder) -> None:
    def fail(folder: Folder, step: Step) -> None:
        raise Refusal(exit_code=2)

    with Beside([Fake(fail)], Step("backup")) as beside:
        beside.start(folder)
        with pytest.raises(Refusal):
            beside.finish()


def test_what_a_keeper_does_not_expect_costs_its_companion_only(folder: Folder) -> None:
    def fail(folder: Folder, step: Step) -> None:
        raise KeyError("a secret")

    step = Step("backup")
    with Beside([Fake(fail, kind="bad"), Fake()], step) as beside:
        beside.start(folder)
        bad, good = beside.finish()
    assert (bad.kind, bad.facts, good.kind) == ("bad", {"state": "failed", "reason": "KeyError"}, "fake")
    (finding,) = step.findings
    assert (finding.id, finding.level) == ("deploy.B117", "error")
    assert "bad" in finding.message
    assert f"KeyError in {__name__}:" in finding.message
    assert "a secret" not in finding.message


@pytest.mark.parametrize("error", [BucketError("full"), Abandoned(), Refusal()])
def test_what_the_backup_cannot_go_on_without_stops_the_dump_and_is_the_cause(
    folder: Folder, error: Exception
) -> None:
    def fail(folder: Folder, step: Step) -> None:
        raise error

    stopped = threading.Event()

    def dump() -> None:
        with Beside([Fake(fail)], Step("backup")) as beside:
            beside.start(folder, stop=stopped.set)
            assert stopped.wait(60)
            raise OSError("the dump was stopped")

    with pytest.raises(type(error)) as raised:
        dump()
    assert raised.value is error


def test_what_the_guard_raises_is_never_a_companions_failure(folder: Folder) -> None:
    def lost() -> None:
        raise RuntimeError("the lock is lost")

    with Beside([Fake(lambda folder, step: folder.guard())], Step("backup")) as beside:
        beside.start(replace(folder, guard=lost))
        with pytest.raises(RuntimeError, match="the lock is lost"):
            beside.finish()


def test_a_failing_backup_stops_them_at_the_next_piece(folder: Folder) -> None:
    begun = threading.Event()

    def endless() -> Iterator[bytes]:
        while True:
            begun.set()
            yield b"x" * 1000

    def store(folder: Folder, step: Step) -> None:
        folder.store("endless.zst", endless())

    def fails() -> None:
        with Beside([Fake(store)], Step("backup")) as beside:
            beside.start(folder)
            begun.wait(60)
            raise OSError("the dump failed")

    with pytest.raises(OSError, match="the dump failed"):
        fails()
    assert list(folder.bucket.list()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "backup-companions"]


def test_their_progress_waits_for_that_of_the_archives(folder: Folder) -> None:
    go = threading.Event()

    def early(folder: Folder, step: Step) -> None:
        step.progress(1, 10, unit="files")

    def late(folder: Folder, step: Step) -> None:
        go.wait(60)
        step.progress(7, 10, unit="files")

    step = Step("backup")
    with Beside([Fake(early, reads_snapshot=True), Fake(late)], step) as beside:
        beside.start(folder)
        beside.release()
        assert step.done == 0
        go.set()
        beside.finish()
    assert step.done == 7


def test_a_backup_holds_its_companions_and_their_skew(
    conf: DeployConf,
    bucket: LocalBucket,
    live: str,
    query: Callable[..., list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_guard: Callable[[], None],
) -> None:
    root = tmp_path / "media"
    root.mkdir()
    (root / "there.txt").write_text("x")
    found = media_models.make(*media_models.folder_storages(root))
    monkeypatch.setattr(apps, "get_models", lambda **_: found)
    query(media_models.TABLES)
    query("INSERT INTO doc_document VALUES (1, 'there.txt', 'gone.txt')")
    with_media = replace(conf, backup=replace(conf.backup, media_bucket=f"file://{root}", media_fields=()))
    step = Step("backup")
    manifest = backup.create_backup(with_media, bucket, release="r", step=step, guard=no_guard)
    again = backup.read_manifest(conf, bucket, manifest.id)
    configuration, media = again.companions
    assert (configuration.kind, media.kind) == ("configuration", "media")
    assert media.facts["in_snapshot"] is True
    assert (media.facts["referenced"], media.facts["missing_names"]) == (1, ["gone.txt"])
    assert [finding.id for finding in step.findings] == ["deploy.B068"]
    assert step.facts["skew_seconds"] == again.skew_seconds
    assert set(again.skew_seconds) == {"configuration", "media"}
    assert all(seconds >= 0 for seconds in again.skew_seconds.values())
    assert {info.name.rpartition("/")[2] for info in bucket.list()} == {
        "archive.dump.zst",
        "configuration.json.zst",
        "media.jsonl.zst",
        "manifest.json",
    }


@dataclass
class Clock:
    """`time.monotonic`: 0, then 7.5, and after `late` is set much more."""

    read_twice: threading.Event = field(default_factory=threading.Event)
    late: bool = False
    reads: int = 0

    def monotonic(self) -> float:
        self.reads += 1
        if self.reads == 2:
            self.read_twice.set()
        return 0.0 if self.reads == 1 else 1000.0 if self.late else 7.5


def test_created_is_the_snapshots_moment_and_the_duration_that_of_the_archives(
    conf: DeployConf, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch, no_guard: Callable[[], None]
) -> None:
    clock, opened = Clock(), list[datetime]()
    source = PostgreSQL.source

    @contextmanager
    def watched(self: PostgreSQL) -> Iterator[Source]:
        opened.append(datetime.now(UTC))
        with source(self) as found:
            opened.append(datetime.now(UTC))
            yield found

    class Late:
        kind = "late"

        def keep(self, folder: Folder, step: Step) -> Companion:
            clock.read_twice.wait(10)  # the archives are there by then
            clock.late = True
            return Companion(self.kind, folder.created + timedelta(seconds=42.5))

    monkeypatch.setattr(PostgreSQL, "source", watched)
    monkeypatch.setattr(create, "keepers", lambda _: [Late()])
    monkeypatch.setattr(create, "time", clock)
    manifest = backup.create_backup(conf, bucket, release="r", step=Step("backup"), guard=no_guard)
    assert opened[0] <= manifest.created <= opened[1]
    assert manifest.id.startswith(f"{manifest.created:%Y%m%dT%H%M%S}")
    assert manifest.duration_seconds == 7.5
    assert manifest.skew_seconds == {"late": 42.5}


def test_what_is_of_its_own_moment_comes_before_what_shows_the_snapshots(conf: DeployConf) -> None:
    firestore = FirestoreConf("p", "(default)", "gs://exports", portable=True, endpoint="", admin_endpoint="")
    cloud_sql = CloudSQLConf("p", "i", on_demand=True, clone_over_bytes=0, endpoint="")
    asked = replace(conf, backup=replace(conf.backup, firestore=firestore, cloud_sql=cloud_sql))
    kinds = [keeper.kind for keeper in keepers(asked)]
    assert kinds == ["configuration", "cloudsql", "firestore-managed", "firestore"]
