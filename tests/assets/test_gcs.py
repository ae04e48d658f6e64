"""The upload on Google Cloud Storage, through the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deploy.assets import read_release_manifest
from deploy.buckets.gcs import GCSBucket
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step
from deploy.testing.gcs_faults import Fault, Request
from deploy.testing.gcs_server import GCSServer

from .conftest import LOGO, Site

Send = Callable[..., Step]


@pytest.fixture
def gcs() -> Iterator[GCSServer]:
    with GCSServer("static") as server:
        yield server


@pytest.fixture
def remote(gcs: GCSServer) -> Iterator[GCSBucket]:
    bucket = GCSBucket("static", client=gcs.client(), retry_seconds=5)
    yield bucket
    bucket.close()


def uploads(gcs: GCSServer) -> list[Request]:
    return [request for request in gcs.requests if request.is_upload]


def test_one_request_a_file_and_one_for_the_manifest(gcs: GCSServer, remote: GCSBucket, send: Send) -> None:
    send(remote)
    assert len(uploads(gcs)) == 5
    assert all(request.query["ifGenerationMatch"] == "0" for request in uploads(gcs))
    manifest = read_release_manifest(remote, "r1")
    assert manifest is not None
    info = remote.stat(manifest.files["img/logo.svg"].name)
    assert info is not None
    assert info.cache_control == "public, max-age=31536000, immutable"
    assert info.content_type == "image/svg+xml"
    assert remote.read(info.name) == LOGO


def test_nothing_changed_costs_a_listing_and_the_manifest(
    gcs: GCSServer, remote: GCSBucket, send: Send
) -> None:
    send(remote)
    before = len(gcs.requests)
    assert send(remote).facts["sent"] == 0
    assert len(gcs.requests) - before <= 3


def test_lost_answers_and_overload_are_retried(
    gcs: GCSServer, remote: GCSBucket, send: Send, site: Site
) -> None:
    for number in range(20):
        site.write(f"many/{number}.txt", str(number))
    gcs.faults.add(Fault(lose_response=True), times=3, when=lambda request: request.is_upload)
    gcs.faults.add(Fault(status=503), times=3, when=lambda request: request.is_upload)
    gcs.faults.add(Fault(reset=True), times=2, when=lambda request: request.is_upload)
    step = send(remote)
    assert step.facts["files"] == 24
    manifest = read_release_manifest(remote, "r1")
    assert manifest is not None
    stored = {info.name: info.crc32c for info in remote.list()}
    assert all(stored[entry.name] == entry.crc32c for entry in manifest.files.values())


def test_a_forbidden_file_is_an_error_and_there_is_no_manifest(
    gcs: GCSServer, remote: GCSBucket, send: Send
) -> None:
    gcs.faults.add(Fault(status=403), when=lambda request: request.is_upload)
    with pytest.raises(Refusal) as refused:
        send(remote)
    assert [finding.id for finding in refused.value.findings] == ["deploy.A012"]
    assert list(remote.list("static-manifests/")) == []


def test_bucket_that_cannot_be_listed(gcs: GCSServer, send: Send) -> None:
    missing = GCSBucket("no-such-bucket", client=gcs.client(), retry_seconds=1)
    with pytest.raises(Refusal) as refused:
        send(missing)
    assert [finding.id for finding in refused.value.findings] == ["deploy.K002"]
    missing.close()
