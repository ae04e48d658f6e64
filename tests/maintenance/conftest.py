from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from deploy import conf as configuration
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "bucket")


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[DeployConf]:
    deploy: dict[str, Any] = {
        "PROJECT": "optifit",
        "ENVIRONMENT": "test",
        "BUCKET": f"file://{tmp_path}/bucket",
        "MAINTENANCE_REFRESH_SECONDS": 0.1,
    }
    with override_settings(DEPLOY=deploy):
        yield replace(configuration.read()[0], owner="alice@laptop:1")
