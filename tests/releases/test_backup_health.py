"""The newest backup's age on a status page, without a listing of the bucket for every view."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deploy.backup import age
from deploy.backup.naming import Identity
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.health import views
from deploy.health.sharing import SharedCheck
from deploy.releases import backup_health
from deploy.releases.backup_health import FRESH_SECONDS, LIMIT_SECONDS, BackupInTime, ask_backup
from tests.backup.test_catalog_and_retention import put


@pytest.fixture
def looked(conf: DeployConf, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A new cache, and the names of the buckets that were looked at."""
    seen: list[str] = []
    usual = age.look_at_age

    def watched(conf: DeployConf, bucket: Any) -> age.Age:
        seen.append(bucket.url)
        return usual(conf, bucket)

    monkeypatch.setattr(backup_health, "look_at_age", watched)
    monkeypatch.setattr(backup_health.configuration, "read", lambda: (conf, []))
    shared = SharedCheck(ask_backup, limit_seconds=LIMIT_SECONDS, fresh_seconds=FRESH_SECONDS)
    monkeypatch.setattr(BackupInTime, "shared", shared)
    monkeypatch.setattr(BackupInTime, "_failing", False)
    return seen


def test_a_missing_backup_is_shown_logged_once_and_asked_for_seldom(
    looked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        assert asyncio.run(BackupInTime().get_result()).error is not None

    assert len(looked) == 1
    (line,) = caplog.messages
    assert line.startswith("BackupInTime fails: ServiceWarning")
    assert "There is no backup of" in line


def test_a_young_one_is_well(conf: DeployConf, bucket: LocalBucket, looked: list[str]) -> None:
    from deploy.backup.engines import database_name

    put(bucket, Identity(conf.project, conf.environment, database_name(conf)), days=0)

    assert asyncio.run(BackupInTime().get_result()).error is None


def test_readyz_does_not_ask_for_it() -> None:
    checks = views.readyz.view_initkwargs["checks"]  # type: ignore[attr-defined]
    assert BackupInTime not in checks
