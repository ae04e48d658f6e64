from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.buckets.base import Bucket
from deploy.buckets.gcs import GCSBucket
from deploy.buckets.local import LocalBucket
from deploy.testing import GCSServer


@pytest.fixture
def server() -> Iterator[GCSServer]:
    with GCSServer("test-bucket", page_size=100) as server:
        yield server


@pytest.fixture
def gcs(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GCSBucket]:
    """A bucket whose client finds the server as a process in a test environment would."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    bucket = GCSBucket("test-bucket", "some/prefix", retry_seconds=10)
    yield bucket
    bucket.close()


@pytest.fixture
def local(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "bucket")


@pytest.fixture(params=["local", "gcs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """Each store in turn: what is tested with it is the contract."""
    return request.getfixturevalue(request.param)
