"""Credentials go to Google and nowhere else; what is missing is said with the command that helps."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.backup.cloudsql.connection import connected, is_loopback
from deploy.conf_backup import CloudSQLConf, _is_cloud_sql
from deploy.reporting.findings import Refusal
from deploy.testing.sqladmin_server import SQLAdminServer


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080", "http://127.9.8.7", "http://[::1]:1"])
def test_this_machine_gets_no_credentials(endpoint: str) -> None:
    assert is_loopback(endpoint)
    assert _is_cloud_sql({"project": "shop-1", "instance": "shop", "endpoint": endpoint}) is None


@pytest.mark.parametrize("endpoint", ["", "https://sqladmin.googleapis.com", "https://127.0.0.1.example.com"])
def test_other_machines_get_them_encrypted(endpoint: str) -> None:
    assert not is_loopback(endpoint)
    assert _is_cloud_sql({"project": "shop-1", "instance": "shop", "endpoint": endpoint}) is None


@pytest.mark.parametrize(
    "endpoint",
    ["http://sqladmin.googleapis.com", "http://localhost:1", "http://127.0.0.1.example.com", "ftp://x", "x"],
)
def test_an_endpoint_without_encryption_is_a_mistake_in_the_settings(endpoint: str) -> None:
    reason = _is_cloud_sql({"project": "shop-1", "instance": "shop", "endpoint": endpoint})

    assert reason is not None
    assert "https://" in reason


def test_no_request_is_signed_for_this_machine(server: SQLAdminServer, cloud_sql: CloudSQLConf) -> None:
    with connected(cloud_sql) as service:
        service.instances().get(project="shop-1", instance="shop").execute()

    assert "authorization" not in server.requests[0].headers


def test_without_credentials(
    cloud_sql: CloudSQLConf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with pytest.raises(Refusal) as refused, connected(replace(cloud_sql, endpoint="")):
        pass

    (finding,) = refused.value.findings
    assert finding.id == "deploy.B086"
    assert "gcloud auth application-default login" in finding.hint


def test_without_the_library(cloud_sql: CloudSQLConf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "googleapiclient.discovery", None)

    with pytest.raises(Refusal) as refused, connected(cloud_sql):
        pass

    (finding,) = refused.value.findings
    assert finding.id == "deploy.B085"
    assert finding.hint.startswith("pip install ")
