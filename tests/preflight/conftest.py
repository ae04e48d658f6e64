"""A configuration whose every check passes; the tests break one thing each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy import conf as configuration
from deploy.conf import DeployConf


@pytest.fixture
def conf(tmp_path: Path) -> DeployConf:
    found, _ = configuration.read()
    return replace(
        found,
        environment="production",
        release="r1",
        bucket=f"file://{tmp_path / 'bucket'}",
        static_bucket=f"file://{tmp_path / 'static'}",
        min_free_bytes=1024,
        openapi_path="",
        openapi_callable="",
    )
