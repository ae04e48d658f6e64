"""Ledger, lock and the whole chain through the real google-cloud-storage client, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from deploy.buckets.gcs import GCSBucket
from deploy.conf import DeployConf
from deploy.releases.ledger import open_ledger
from deploy.releases.lock import DeployLock, LockState, lock_name, read_lock
from deploy.reporting.findings import Refusal
from deploy.testing.gcs_server import Fault, GCSServer

from .project import drop_database, make_project, step_of


@pytest.fixture
def server() -> Iterator[GCSServer]:
    with GCSServer("ledger", "assets", page_size=7) as running:
        yield running


@pytest.fixture
def gcs(server: GCSServer) -> Iterator[GCSBucket]:
    bucket = GCSBucket("ledger", "shop", client=server.client())
    yield bucket
    bucket.close()


def _lock(conf: DeployConf, bucket: GCSBucket, **options: object) -> DeployLock:
    return DeployLock(conf, bucket, command="predeploy", release="r1", **options)  # type: ignore[arg-type]  # as given


def test_of_many_at_once_exactly_one_gets_the_lock(conf: DeployConf, gcs: GCSBucket) -> None:
    start, end = Barrier(6), Barrier(6)

    def compete(number: int) -> int:
        start.wait()
        try:
            with _lock(replace(conf, owner=f"p{number}"), gcs):
                end.wait()  # nobody leaves before everybody has tried
                return 0
        except Refusal as refusal:
            end.wait()
            return refusal.exit_code

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(compete, range(6))) == [0, 75, 75, 75, 75, 75]


def test_a_dead_owner_is_taken_over_and_notices_before_its_next_write(
    conf: DeployConf, gcs: GCSBucket
) -> None:
    dead = _lock(replace(conf, lock_ttl_seconds=1.0, owner="dead@vm:7"), gcs)
    assert dead._acquire()  # without its heartbeat: the process that sent it is gone
    time.sleep(1.1)
    taken: list[LockState] = []
    with _lock(conf, gcs, wait_seconds=5, on_takeover=taken.append) as held:
        with pytest.raises(Refusal) as refused:
            dead.guard()
        assert [finding.id for finding in refused.value.findings] == ["deploy.L002"]
        held.guard()
    assert [state.owner for state in taken] == ["dead@vm:7"]
    assert read_lock(conf, gcs) is None


def test_a_lost_answer_to_the_owners_own_write_is_no_lost_lock(
    conf: DeployConf, gcs: GCSBucket, server: GCSServer
) -> None:
    server.faults.add(Fault(lose_response=True), when=lambda request: request.is_upload)
    with _lock(conf, gcs) as held:
        held.guard()
        state = read_lock(conf, gcs)
        assert state is not None
        assert state.owner == conf.owner
    assert gcs.stat(lock_name(conf)) is None


def test_writers_at_once_lose_no_record_and_pages_are_read_to_the_end(
    conf: DeployConf, gcs: GCSBucket
) -> None:
    def append(number: int) -> None:
        open_ledger(conf, gcs).append("step.proved", "a", {"number": number})

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(append, range(20)))
    ledger = open_ledger(conf, gcs)
    headers = ledger.headers()
    assert [header.seq for header in headers] == list(range(1, 21))
    assert sorted(record.data["number"] for record in ledger.read_all(headers)) == list(range(20))


def test_a_release_goes_the_whole_way(server: GCSServer, tmp_path: Path) -> None:
    deploy = '{"BUCKET": "gs://ledger/shop", "STATIC_BUCKET": "gs://assets"}'
    project = make_project(tmp_path / "site", engine="postgresql", deploy=deploy)
    project.extra = dict(server.environment)
    try:
        assert step_of(project.report("predeploy", release="r1"), "static")["facts"]["sent"] > 100
        project.report("postdeploy", release="r1")
        project.migration(
            "0002_stock",
            before="0001_initial",
            operations='migrations.AddField("product", "stock", models.IntegerField(null=True))',
            fields="    stock = models.IntegerField(null=True)\n",
        )
        report = project.report("predeploy", release="r2")
        assert step_of(report, "rehearse")["facts"]["verdict"] == "switch"
        assert project.status("r1") == "live"
        assert project.status("r2") == "prepared"
        assert not (project.path / ".deploy").exists()
    finally:
        drop_database(project)
