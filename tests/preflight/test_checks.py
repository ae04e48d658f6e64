"""Each broken thing is found by its own id."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks as django
from django.db import connections
from pytest_django import Settings

from deploy.conf import DeployConf
from deploy.preflight import run_checks
from deploy.preflight.documents import first_difference
from deploy.preflight.host import needs
from deploy.reporting.findings import Finding
from deploy.reporting.report import Step

KEY = "x9!b" * 20 + "Zq7"


def run(conf: DeployConf, name: str) -> Step:
    (step,) = run_checks(conf, only=[name])
    return step


def found(step: Step) -> dict[str, Finding]:
    assert len({finding.id for finding in step.findings}) == len(step.findings), step.findings
    return {finding.id: finding for finding in step.findings}


def ids(step: Step) -> list[str]:
    return [finding.id for finding in step.findings]


@pytest.fixture
def sane(settings: Settings) -> Settings:
    settings.DEBUG = False
    settings.SECRET_KEY = KEY
    settings.SECRET_KEY_FALLBACKS = []
    settings.ALLOWED_HOSTS = ["www.example.com"]
    return settings


# configuration


def test_mistakes_of_the_deploy_setting(conf: DeployConf, settings: Settings) -> None:
    settings.DEPLOY = {"BUKET": "gs://x"}
    step = run(replace(conf, bucket="gs://one", static_bucket="gs://two"), "configuration")
    assert ids(step) == ["deploy.C001"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("STATIC_UNHASHED", "robots.txt", "deploy.C002"),
        ("STATIC_UNHASHED", ["/robots.txt"], "deploy.C003"),
        ("STATIC_UNHASHED", ["a/../../b"], "deploy.C003"),
        ("OPENAPI", "docs/openapi.json", "deploy.C002"),
        ("OPENAPI", {"path": "docs/openapi.json"}, "deploy.C003"),
        ("OPENAPI", {"path": "docs/openapi.json", "callable": "nodots"}, "deploy.C003"),
        ("MIN_FREE_BYTES", -1, "deploy.C003"),
    ],
)
def test_mistakes_of_this_areas_keys(
    conf: DeployConf, settings: Settings, key: str, value: object, expected: str
) -> None:
    settings.DEPLOY = {key: value}
    step = run(replace(conf, bucket="gs://one", static_bucket="gs://two"), "configuration")
    assert ids(step) == [expected]


@pytest.mark.parametrize(
    ("bucket", "static", "overlap"),
    [
        ("gs://one", "gs://one", True),
        ("gs://one/backups", "gs://one", True),
        ("gs://one", "gs://one/static", True),
        ("gs://one/a", "gs://one/b", False),
        ("gs://one", "gs://one-static", False),
    ],
)
def test_backups_in_the_public_bucket(
    conf: DeployConf, settings: Settings, bucket: str, static: str, *, overlap: bool
) -> None:
    settings.DEPLOY = {}
    step = run(replace(conf, bucket=bucket, static_bucket=static), "configuration")
    assert ids(step) == (["deploy.P010"] if overlap else [])


def test_local_bucket_and_no_release_in_production(conf: DeployConf, settings: Settings) -> None:
    settings.DEPLOY = {}
    broken = replace(conf, release=None)
    assert ids(run(broken, "configuration")) == ["deploy.P011", "deploy.P012"]
    assert ids(run(replace(broken, environment="local"), "configuration")) == []


def test_databases_that_no_release_migrates_are_named(
    conf: DeployConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings.DATABASES["default"]
    replica = {**ours, "TEST": {"MIRROR": "default"}}
    monkeypatch.setattr(settings, "DATABASES", {"default": ours, "reports": ours, "replica": replica})
    found = {finding.id: finding for finding in run(conf, "configuration").findings}
    assert "not reports." in found["deploy.P013"].message


# settings


def test_sane_settings(conf: DeployConf, sane: Settings) -> None:
    assert run(conf, "settings").findings == []


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("DEBUG", True, "deploy.P020"),
        ("SECRET_KEY", "django-insecure-" + KEY, "deploy.P021"),
        ("SECRET_KEY", KEY[:20], "deploy.P021"),
        ("SECRET_KEY", "ab" * 40, "deploy.P021"),
        ("SECRET_KEY_FALLBACKS", ["changeme" * 10], "deploy.P021"),
        ("ALLOWED_HOSTS", ["a.example.com", "*"], "deploy.P022"),
        ("ALLOWED_HOSTS", [], "deploy.P023"),
    ],
)
def test_settings_that_leak(
    conf: DeployConf, sane: Settings, setting: str, value: object, expected: str
) -> None:
    setattr(sane, setting, value)
    (finding,) = run(conf, "settings").findings
    assert (finding.id, finding.level) == (expected, "error")
    assert KEY[:20] not in finding.message + finding.hint
    (finding,) = run(replace(conf, environment="local"), "settings").findings
    assert (finding.id, finding.level) == (expected, "warning")


# django


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (django.ERROR, ("deploy.P030", "error")),
        (django.CRITICAL, ("deploy.P030", "error")),
        (django.WARNING, ("deploy.P031", "warning")),
        (django.INFO, ("deploy.P032", "info")),
        (django.DEBUG, ("deploy.P032", "info")),
    ],
)
def test_djangos_messages_become_findings(
    conf: DeployConf, sane: Settings, monkeypatch: pytest.MonkeyPatch, level: int, expected: tuple[str, str]
) -> None:
    message = django.CheckMessage(level, "A {thing} is\nwrong.", hint="Do {this}.", obj="here", id="app.X001")

    def one(app_configs: Any, **_: Any) -> list[django.CheckMessage]:
        return [message]

    monkeypatch.setattr(django.registry.registry, "registered_checks", {one})
    monkeypatch.setattr(django.registry.registry, "deployment_checks", set())
    one.tags = ()  # type: ignore[attr-defined]  # what register() sets
    (finding,) = run(conf, "django").findings
    assert (finding.id, finding.level) == expected
    assert finding.message == "Django app.X001: A {thing} is wrong."
    assert (finding.hint, finding.place) == ("Do {this}.", "here")


@pytest.mark.django_db
def test_deployment_checks_run_and_silenced_ones_stay_silent(conf: DeployConf, sane: Settings) -> None:
    sane.SECURE_HSTS_SECONDS = 0
    sane.SILENCED_SYSTEM_CHECKS = []
    assert "security.W004" in str(run(conf, "django").findings)
    sane.SILENCED_SYSTEM_CHECKS = ["security.W004"]
    assert "security.W004" not in str(run(conf, "django").findings)


@pytest.mark.django_db
def test_djangos_checks_of_an_unreachable_database(
    conf: DeployConf, sane: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_database(monkeypatch, HOST="127.0.0.1", PORT="1")

    def asks(app_configs: Any, databases: Any = None, **_: Any) -> list[django.CheckMessage]:
        for alias in databases or ():
            connections[alias].ensure_connection()
        return []

    asks.tags = (django.Tags.database,)  # type: ignore[attr-defined]  # what register() sets
    monkeypatch.setattr(django.registry.registry, "registered_checks", {asks})
    monkeypatch.setattr(django.registry.registry, "deployment_checks", set())
    assert ids(run(conf, "django")) == ["deploy.P033"]


# documents


def schema() -> dict[str, Any]:
    return {"paths": {"/api/images": {"get": [1, 2]}}}


def test_openapi_document(conf: DeployConf, tmp_path: Path) -> None:
    assert run(conf, "documents").skipped == "DEPLOY['OPENAPI'] is not set"
    conf = replace(
        conf, base_dir=tmp_path, openapi_path="openapi.json", openapi_callable=f"{__name__}.schema"
    )
    assert ids(run(conf, "documents")) == ["deploy.P061"]  # no such file
    (tmp_path / "openapi.json").write_text(json.dumps(schema()))
    assert run(conf, "documents").findings == []
    (tmp_path / "openapi.json").write_text(json.dumps({"paths": {"/api/images": {"get": [1, 3]}}}))
    step = run(conf, "documents")
    assert ids(step) == ["deploy.P060"]
    assert "/paths/~1api~1images/get/1 differs" in step.findings[0].message
    assert ids(run(replace(conf, openapi_callable="no.such.thing"), "documents")) == ["deploy.P061"]


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ({}, {}, None),
        ({"a": 1}, {"a": True}, "/a"),
        ({"a": None}, {}, "/a"),
        ([1], [1, 2], ""),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "/a/0/b"),
    ],
)
def test_first_difference(one: object, other: object, where: str | None) -> None:
    assert first_difference(one, other) == where


# host


@pytest.mark.django_db
def test_host_with_room(conf: DeployConf) -> None:
    step = run(conf, "host")
    assert step.findings == []
    assert step.facts["database_bytes"] > 0


@pytest.mark.django_db
def test_full_disk(conf: DeployConf) -> None:
    step = run(replace(conf, min_free_bytes=2**62), "host")
    assert set(ids(step)) == {"deploy.P051"}
    assert str(2**62) in step.findings[0].message


@pytest.mark.django_db
def test_what_must_be_free(conf: DeployConf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Path(tempfile.gettempdir())
    wanted = {folder: size for folder, size, _ in needs(replace(conf, min_free_bytes=10), 1000)}
    assert wanted == {scratch: 10, tmp_path / "bucket": 1010}
    remote = replace(conf, min_free_bytes=10, bucket="gs://one")
    assert [folder for folder, _, _ in needs(remote, 1000)] == [scratch]
    break_database(monkeypatch, ENGINE="django.db.backends.sqlite3", NAME=tmp_path / "x" / "db.sqlite3")
    assert {folder: size for folder, size, _ in needs(remote, 1000)}[tmp_path / "x"] == 2010


def break_database(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Give the alias of these tests other settings; the connection of the test itself stays."""
    monkeypatch.setitem(connections.settings, "default", {**connections.settings["default"], **changes})
