from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.buckets.base import Bucket
from deploy.buckets.gcs import GCSBucket
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.testing import GCSServer
from tests.backup.conftest import ALIAS

from .world import SCHEMA, World, zygote


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    with zygote() as process:
        yield process


@pytest.fixture(params=["local", "gcs"])
def world(
    request: pytest.FixtureRequest,
    conf: DeployConf,
    live: str,
    forking: subprocess.Popen[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A small PostgreSQL database with one backup, in a folder or in a GCS server over HTTP."""
    with server.connect(ALIAS) as connection:
        connection.execute(SCHEMA)
    if request.param == "local":
        bucket: Any = LocalBucket(tmp_path / "bucket")
        yield _begun(World(conf, live, bucket, forking, tmp_path))
        return
    with GCSServer("kills") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        bucket = GCSBucket("kills", "some/prefix")
        yield _begun(World(replace(conf, bucket="gs://kills/some/prefix"), live, bucket, forking, tmp_path))
        bucket.close()


def _begun(world: World) -> World:
    world.succeed("backupdb", "--reason", "base")
    return world


@pytest.fixture
def bucket(world: World) -> Bucket:
    return world.bucket
