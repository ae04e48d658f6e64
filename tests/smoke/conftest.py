"""A configuration with short limits and a smoke account."""

from __future__ import annotations

import dataclasses

import pytest

from deploy import conf as configuration
from deploy.conf import DeployConf


@pytest.fixture
def conf() -> DeployConf:
    read, _ = configuration.read()
    return dataclasses.replace(
        read,
        smoke_account="smoke",
        smoke_password="smoke-password",
        smoke_login_path="/admin/login/",
        smoke_api_login_path="/api/token",
        smoke_api_path="/api/items",
        smoke_timeout_seconds=8,
        check_timeout_seconds=2,
    )
