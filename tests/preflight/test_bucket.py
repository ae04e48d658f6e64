"""The bucket probes: on a folder, and on Google Cloud Storage through the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.buckets.base import ObjectInfo
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.preflight.bucket import probe
from deploy.reporting.report import Step
from deploy.testing.gcs_faults import Fault, Request
from deploy.testing.gcs_server import GCSServer

from .test_checks import ids, run


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GCSServer]:
    with GCSServer("optifit") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_local_bucket_is_probed_and_left_empty(conf: DeployConf, tmp_path: Path) -> None:
    for name in ("bucket", "static_bucket"):
        step = run(conf, name)
        assert step.findings == []
        assert list(LocalBucket(step.facts["url"].removeprefix("file://")).list()) == []


class Aged(LocalBucket):
    """A folder whose objects called `old` were written two hours ago."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for info in super().list(prefix):
            age = timedelta(hours=2) if info.name.endswith("old") else timedelta()
            yield replace(info, updated=info.updated - age)


def test_probe_of_a_killed_run_is_swept_and_a_fresh_one_is_not(tmp_path: Path) -> None:
    bucket = Aged(tmp_path)
    for name in ("probe/old", "probe/new", "backups/old"):
        bucket.put(name, b"1")
    step = Step("bucket")
    probe(bucket, step)
    assert step.findings == []
    assert {info.name for info in bucket.list()} == {"probe/new", "backups/old"}


def test_local_bucket_that_cannot_be_written(conf: DeployConf, tmp_path: Path) -> None:
    (tmp_path / "bucket").write_text("a file where the folder should be")
    (finding,) = run(conf, "bucket").findings
    assert finding.id == "deploy.K002"
    assert "could not be written" in finding.message


def test_gcs_is_probed_and_left_empty(conf: DeployConf, gcs: GCSServer) -> None:
    step = run(replace(conf, bucket="gs://optifit/deploy"), "bucket")
    assert step.findings == []
    assert [request.method for request in gcs.requests if request.is_upload] == ["POST"]
    assert "DELETE" in [request.method for request in gcs.requests]


def test_gcs_bucket_that_does_not_exist(conf: DeployConf, gcs: GCSServer) -> None:
    (finding,) = run(replace(conf, bucket="gs://no-such-bucket"), "bucket").findings
    assert finding.id == "deploy.K002"
    assert finding.place == "gs://no-such-bucket"


@pytest.mark.parametrize(
    ("refused", "action"),
    [
        (lambda request: request.is_upload, "written"),
        (lambda request: request.is_download, "read"),
        (lambda request: request.method == "DELETE", "deleted from"),
    ],
    ids=["upload", "download", "delete"],
)
def test_gcs_that_forbids_something(
    conf: DeployConf, gcs: GCSServer, refused: Callable[[Request], bool], action: str
) -> None:
    gcs.faults.add(Fault(status=403), when=refused)
    (finding,) = run(replace(conf, bucket="gs://optifit"), "bucket").findings
    assert finding.id == "deploy.K002"
    assert f"could not be {action}" in finding.message


def test_gcs_that_cannot_be_reached_says_why_within_the_limit(
    conf: DeployConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    conf = replace(conf, bucket="gs://optifit", check_timeout_seconds=6)
    (finding,) = run(conf, "bucket").findings
    assert finding.id == "deploy.K002"


def test_what_is_read_back_differs(conf: DeployConf, gcs: GCSServer) -> None:
    gcs.faults.add(Fault(flip_bit=True), times=20, when=lambda request: request.is_download)
    step = run(replace(conf, bucket="gs://optifit"), "bucket")
    assert ids(step) == ["deploy.K004"]
    assert "DELETE" in [request.method for request in gcs.requests]  # cleaned up all the same
