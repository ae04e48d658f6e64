from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.templatetags.static import static
from pytest_django import Settings

from deploy.assets import read_release_manifest
from deploy.buckets.local import LocalBucket
from deploy.reporting.report import Step

from .conftest import OURS, Site, use_storage


def test_names_come_from_the_manifest_that_the_image_carries(
    site: Site, settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = str(tmp_path / "root")
    call_command("collectstatic", interactive=False, verbosity=0)
    url = static("css/site.css")
    assert url != "/static/css/site.css"
    assert (tmp_path / "root" / url.removeprefix("/static/")).is_file()


def test_names_come_from_the_recorded_manifest_where_nothing_is_baked(
    site: Site, settings: Settings, bucket: LocalBucket, send: Callable[..., Step]
) -> None:
    send(bucket, release="r7")
    settings.DEPLOY = {**settings.DEPLOY, "RELEASE": "r7"}
    manifest = read_release_manifest(bucket, "r7")
    assert manifest is not None
    assert static("css/site.css") == f"/static/{manifest.files['css/site.css'].name}"


def test_a_name_without_an_entry_fails_in_production(site: Site) -> None:
    with pytest.raises(ValueError, match=r"Missing staticfiles manifest entry for 'css/site\.css'"):
        static("css/site.css")


def test_plain_names_with_debug(site: Site, settings: Settings) -> None:
    settings.DEBUG = True
    assert static("css/site.css") == "/static/css/site.css"


def test_plain_names_in_a_test_suite_that_is_not_strict(
    site: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.buckets.open_bucket", lambda url: pytest.fail(f"asked {url}"))
    use_storage(settings, OURS, strict=False)
    settings.DEPLOY = {"STATIC_BUCKET": "gs://no-such-bucket", "RELEASE": "r1"}  # not asked
    assert static("css/site.css") == "/static/css/site.css"
    assert static("no/such.css") == "/static/no/such.css"


def test_collecting_asks_no_bucket(site: Site, settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path / "root")
    settings.DEPLOY = {"STATIC_BUCKET": "gs://no-such-bucket", "RELEASE": "r1"}
    call_command("collectstatic", interactive=False, verbosity=0)
    assert staticfiles_storage.exists("staticfiles.json")
