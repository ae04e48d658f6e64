from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings as SettingsWrapper

from deploy import conf
from deploy.reporting.findings import Refusal
from deploy.reporting.redaction import redact


def _ids(settings: SettingsWrapper, deploy: Any) -> list[str]:
    settings.DEPLOY = deploy
    return [finding.id for finding in conf.read()[1]]


def test_no_setting_at_all_is_sound(settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    del settings.DEPLOY
    monkeypatch.delenv("RELEASE")
    found, findings = conf.read()
    assert findings == []
    assert found.bucket == f"file://{found.base_dir / '.deploy' / 'bucket'}"
    assert found.project == "optifit"
    assert found.release is None


def test_a_key_that_is_not_known_is_answered_with_the_nearest(settings: SettingsWrapper) -> None:
    settings.DEPLOY = {"BUCKETT": "x"}
    (finding,) = conf.read()[1]
    assert finding.id == "deploy.C001"
    assert "Did you mean 'BUCKET'?" in finding.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BUCKET", 7),
        ("LOCK_TTL_SECONDS", "60"),
        ("LOCK_TTL_SECONDS", True),
        ("BACKUP_KEEP", 2.5),
        ("SWITCH", "rm -rf /"),
        ("SWITCH", [1]),
    ],
)
def test_a_wrong_type_is_named(settings: SettingsWrapper, key: str, value: object) -> None:
    assert _ids(settings, {key: value}) == ["deploy.C002"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BUCKET", "s3://bucket"),
        ("BUCKET", "file://relative"),
        ("BUCKET", "file:///a/../b"),
        ("BUCKET", "gs://UPPER"),
        ("STATIC_BUCKET", "gs://bucket/../other"),
        ("PROJECT", "../other"),
        ("ENVIRONMENT", "a/b"),
        ("LOCK_TTL_SECONDS", 0),
        ("BACKUP_KEEP", 0),
        ("BACKUP_COMPRESSION_LEVEL", 23),
        ("UPLOAD_THREADS", 1000),
        ("SMOKE_LOGIN_PATH", "//evil.example/"),
    ],
)
def test_a_wrong_value_is_named(settings: SettingsWrapper, key: str, value: object) -> None:
    assert _ids(settings, {key: value}) == ["deploy.C003"]


def test_not_even_a_dict(settings: SettingsWrapper) -> None:
    assert _ids(settings, ["BUCKET"]) == ["deploy.C004"]


def test_a_database_that_is_not_configured(settings: SettingsWrapper) -> None:
    assert _ids(settings, {"DATABASE": "reporting"}) == ["deploy.C005"]


@pytest.mark.parametrize("release", ["../x", "a b", "-rf", "x" * 101, "ä"])
def test_a_release_that_cannot_be_a_name(settings: SettingsWrapper, release: str) -> None:
    assert _ids(settings, {"RELEASE": release}) == ["deploy.C006"]


def test_every_mistake_is_told_at_once_with_exit_code_2(settings: SettingsWrapper) -> None:
    settings.DEPLOY = {"BUCKETT": "x", "BACKUP_KEEP": 0, "DATABASE": "nope"}
    with pytest.raises(Refusal) as refused:
        conf.load()
    assert refused.value.exit_code == 2
    assert [finding.id for finding in refused.value.findings] == ["deploy.C003", "deploy.C001", "deploy.C005"]


def test_reading_it_registers_the_secrets(settings: SettingsWrapper) -> None:
    settings.SECRET_KEY = "canary-secret-key-4711"
    settings.DEPLOY = {"SMOKE_PASSWORD": "canary-smoke-4711"}
    conf.read()
    assert "canary" not in redact("a canary-secret-key-4711 and canary-smoke-4711 b")


def test_passwords_in_options_and_cache_addresses_are_secrets_too(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = {"default": {"OPTIONS": {"password": "canary-options-4711"}}}
    monkeypatch.setattr("django.conf.settings.DATABASES", databases)
    settings.CACHES = {
        "default": {"LOCATION": ["redis://:canary-cache-4711@cache:6379/0", "unix:///run/cache"]},
        "odd": {"LOCATION": "redis://[broken"},
    }
    conf.read()
    assert "canary" not in redact("canary-options-4711 redis://:canary-cache-4711@cache:6379/0")


_PRIVATE_KEY = "AGE-SECRET-KEY-1" + "Q" * 58


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BACKUP_AGE_RECIPIENTS", [_PRIVATE_KEY]),
        ("BACKUP_AGE_RECIPIENTS", ["age1short"]),
        ("BACKUP_AGE_RECIPIENTS", [""]),
        ("BACKUP_AGE_RECIPIENTS", "age1" + "q" * 58),
        ("BACKUP_AGE_IDENTITY", _PRIVATE_KEY),
        ("BACKUP_AGE_IDENTITY", f" {_PRIVATE_KEY}\n"),
    ],
)
def test_what_is_no_public_key_and_no_path_is_refused_and_not_shown(
    settings: SettingsWrapper, key: str, value: object
) -> None:
    settings.DEPLOY = {key: value}
    found, (finding,) = conf.read()
    assert finding.id == "deploy.C002"
    assert "SECRET-KEY" not in f"{finding.message} {finding.hint} {found}"


def test_a_private_key_in_the_environment_is_refused_and_not_shown(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKUP_AGE_IDENTITY", _PRIVATE_KEY)
    settings.DEPLOY = {}
    found, (finding,) = conf.read()
    assert finding.id == "deploy.C002"
    assert "private key itself, not the path of the file" in finding.message
    assert "SECRET-KEY" not in f"{finding.message} {finding.hint} {found}"
    assert redact(f"see {_PRIVATE_KEY}") == "see [redacted]"


def test_settings_without_urls_have_a_project_name_too(settings: SettingsWrapper) -> None:
    settings.DEPLOY = {}
    settings.ROOT_URLCONF = None
    assert conf.read()[0].project == "project"


def test_an_empty_secret_key_is_djangos_business(settings: SettingsWrapper) -> None:
    settings.SECRET_KEY = ""
    assert conf.read()[1] == []


def test_a_grade_that_predeploy_never_proves_cannot_be_asked_for(settings: SettingsWrapper) -> None:
    assert _ids(settings, {"BACKUP_GRADE": "L2", "BACKUP_APPLY_GRADE": "L3"}) == ["deploy.C003"]
    assert _ids(settings, {"BACKUP_GRADE": "L2", "BACKUP_APPLY_GRADE": "L2"}) == []


@pytest.mark.parametrize("deploy", [{"PROJECT": "x\n"}, {"BUCKET": "gs://bucket/x\n"}])
def test_a_name_that_ends_in_a_line_break_is_refused(
    settings: SettingsWrapper, deploy: dict[str, str]
) -> None:
    assert _ids(settings, deploy) == ["deploy.C003"]
