from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import conf as configuration
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases.ledger import Ledger, open_ledger


@pytest.fixture
def conf(tmp_path: Path) -> DeployConf:
    return replace(
        configuration.read()[0],
        project="optifit",
        environment="test",
        bucket=f"file://{tmp_path}/bucket",
        static_bucket=f"file://{tmp_path}/static",
        owner="alice@laptop:1",
        lock_ttl_seconds=60.0,
        backup=replace(configuration.read()[0].backup, keep=2),
    )


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "bucket")


@pytest.fixture
def ledger(conf: DeployConf, bucket: LocalBucket) -> Ledger:
    return open_ledger(conf, bucket)


@pytest.fixture
def no_guard() -> Callable[[], None]:
    return lambda: None
