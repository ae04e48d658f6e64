from __future__ import annotations

import gc
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.management import call_command
from pytest_django import Settings

from deploy.assets import UploadPlan, plan_upload
from deploy.assets.content import content_type
from deploy.buckets.base import Bucket
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal

from .conftest import CSS, LOGO, OURS, Site, use_storage


def ids(plan: UploadPlan) -> list[str]:
    return [finding.id for finding in plan.findings]


def plan(conf: DeployConf, bucket: Bucket) -> UploadPlan:
    return plan_upload(conf, bucket, release="r1")


def test_names_every_file_by_its_content_and_sends_leaves_before_those_that_name_them(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    found = plan(conf, bucket)
    assert found.findings == ()
    assert [asset.path for asset in found.to_send] == [
        "img/logo.svg",
        "robots.txt",
        "css/base.css",
        "css/site.css",
    ]
    assert all(asset.name != asset.path for asset in found.to_send)
    site_css = next(asset for asset in found.to_send if asset.path == "css/site.css")
    logo = next(asset for asset in found.to_send if asset.path == "img/logo.svg")
    assert f'url("../{logo.name}#icon")' in site_css.source.read_text()
    assert site_css.cache_control == "public, max-age=31536000, immutable"
    assert site_css.content_type == "text/css; charset=utf-8"
    assert logo.size_bytes == len(LOGO)
    assert found.send_bytes == sum(asset.source.stat().st_size for asset in found.to_send)


def test_writes_nothing_to_the_bucket_and_leaves_no_scratch_folder(
    conf: DeployConf, bucket: LocalBucket, tmp_path: Path
) -> None:
    found = plan(conf, bucket)
    folder = found.to_send[0].source
    assert folder.exists()
    del found
    gc.collect()
    assert not folder.exists()
    assert not (tmp_path / "static").exists()


def test_scratch_folders_of_killed_runs_are_removed_after_a_day(
    conf: DeployConf, bucket: LocalBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("deploy-static-old", "deploy-static-new", "other-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        if name.endswith("old"):
            os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    plan(conf, bucket)
    assert not (tmp_path / "deploy-static-old").exists()
    assert (tmp_path / "deploy-static-new" / "file").exists()
    assert (tmp_path / "other-old" / "file").exists()


def test_the_projects_own_manifest_is_not_written(
    conf: DeployConf, bucket: LocalBucket, settings: Settings, tmp_path: Path
) -> None:
    elsewhere = StaticFilesStorage(location=str(tmp_path / "manifests"))
    use_storage(settings, OURS, manifest_storage=elsewhere)
    assert plan(conf, bucket).ok
    assert not (tmp_path / "manifests").exists()


def test_gives_the_names_that_the_projects_own_storage_would(
    conf: DeployConf, bucket: LocalBucket, settings: Settings, tmp_path: Path
) -> None:
    use_storage(settings, "django.contrib.staticfiles.storage.ManifestStaticFilesStorage")
    settings.STATIC_ROOT = str(tmp_path / "root")
    call_command("collectstatic", interactive=False, verbosity=0)
    baked = json.loads((tmp_path / "root" / "staticfiles.json").read_text())["paths"]
    found = plan(conf, bucket)
    assert found.findings == ()
    assert {asset.path: asset.name for asset in found.assets} == baked


def test_project_without_a_hashing_storage_is_told_but_served(
    conf: DeployConf, bucket: LocalBucket, settings: Settings
) -> None:
    use_storage(settings, "django.contrib.staticfiles.storage.StaticFilesStorage")
    found = plan(conf, bucket)
    assert ids(found) == ["deploy.A004"]
    assert found.ok
    assert OURS in found.findings[0].hint
    assert len(found.to_send) == 4


def test_missing_reference_has_file_line_and_nearest_name(
    conf: DeployConf, bucket: LocalBucket, site: Site
) -> None:
    site.write("css/site.css", b"\n\nbody { background: url('../img/logos.svg') }\n")
    (finding,) = plan(conf, bucket).findings
    assert finding.id == "deploy.A001"
    assert "'img/logos.svg'" in finding.message
    assert "Did you mean 'img/logo.svg'?" in finding.message
    assert finding.place is not None
    assert finding.place.endswith("css/site.css:3")


def test_every_broken_file_is_found_at_once(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    site.write("css/one.css", "a { background: url(gone.png) }")
    site.write("css/two.css", "a { background: url(away.png) }")
    assert ids(plan(conf, bucket)) == ["deploy.A001", "deploy.A001"]


def test_css_that_is_not_utf8(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    site.write("css/first/deep/latin.css", "/* é */".encode("latin-1"))
    assert ids(plan(conf, bucket)) == ["deploy.A002"]


def test_files_that_name_each_other_in_a_circle(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    site.write("css/one.css", '@import "two.css";')
    site.write("css/two.css", '@import "one.css";')
    found = plan(conf, bucket)
    assert ids(found) == ["deploy.A003"]
    assert "css/one.css, css/two.css" in found.findings[0].message


def test_hashed_name_with_other_content_in_the_bucket(conf: DeployConf, bucket: LocalBucket) -> None:
    logo = next(asset for asset in plan(conf, bucket).to_send if asset.path == "img/logo.svg")
    bucket.put(logo.name, b"<svg>evil</svg>")
    found = plan(conf, bucket)
    assert ids(found) == ["deploy.A005"]
    assert not found.ok
    assert logo.name not in [asset.name for asset in found.to_send]


def test_baked_manifest_that_the_sources_have_left_behind(
    conf: DeployConf, bucket: LocalBucket, site: Site, settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = str(tmp_path / "root")
    call_command("collectstatic", interactive=False, verbosity=0)
    assert plan(conf, bucket).findings == ()
    site.write("img/logo.svg", LOGO + b"\n")
    (finding,) = plan(conf, bucket).findings
    assert (finding.id, finding.level) == ("deploy.A006", "error")
    assert "2 files" in finding.message  # the logo and the CSS that names it
    settings.DEBUG = True
    (finding,) = plan(conf, bucket).findings
    assert finding.level == "warning"


def test_baked_file_that_no_finder_knows_is_sent_too(
    conf: DeployConf, bucket: LocalBucket, site: Site, settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = str(tmp_path / "root")
    built = site.write("built.js", "1")
    call_command("collectstatic", interactive=False, verbosity=0)
    built.unlink()
    assert "built.js" in [asset.path for asset in plan(conf, bucket).to_send]


def test_names_that_differ_in_case_only(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    site.write("img/Logo.svg", LOGO)
    found = plan(conf, bucket)
    assert ids(found) == ["deploy.A007"]
    assert found.ok


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("certs/server.pem", b"anything"),
        ("prod.env", b"A=1"),
        ("data/account.json", b'{"key": "-----BEGIN PRIVATE KEY-----\\n' + b"M" * 64 + b'"}'),
        ("data/big.txt", b"x" * (1 << 20) + b"-----BEGIN RSA PRIVATE KEY-----\n" + b"M" * 64),
    ],
)
def test_secrets_are_not_made_public(
    conf: DeployConf, bucket: LocalBucket, site: Site, name: str, data: bytes
) -> None:
    site.write(name, data)
    found = plan(conf, bucket)
    assert ids(found) == ["deploy.A008"]
    assert "MMMM" not in str(found.findings)
    assert not found.ok


def test_mentioning_the_header_of_a_key_is_no_secret(
    conf: DeployConf, bucket: LocalBucket, site: Site
) -> None:
    site.write("js/crypto.js", 'const pem = "-----BEGIN PRIVATE KEY-----" + body;')
    assert plan(conf, bucket).findings == ()


def test_unhashed_file_keeps_its_name_and_is_cached_for_minutes(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    found = plan(replace(conf, static_unhashed=("robots.txt",)), bucket)
    plain = next(asset for asset in found.to_send if asset.name == "robots.txt")
    assert plain.cache_control == "public, max-age=300"
    assert list(found.manifest().unhashed) == ["robots.txt"]
    assert "robots.txt" in found.manifest().files  # templates may still name it by its hash


def test_unknown_unhashed_file(conf: DeployConf, bucket: LocalBucket) -> None:
    (finding,) = plan(replace(conf, static_unhashed=("robot.txt",)), bucket).findings
    assert finding.id == "deploy.A009"
    assert "Did you mean 'robots.txt'?" in finding.message


def test_file_where_the_manifests_lie(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    site.write("static-manifests/r1.json", "{}")
    assert "deploy.A011" in ids(plan(conf, bucket))


def test_file_name_that_no_bucket_takes(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    site.write("img/my logo.svg", LOGO)
    assert ids(plan(conf, bucket)) == ["deploy.K003"]


def test_settings_that_contradict_each_other(
    conf: DeployConf, bucket: LocalBucket, site: Site, settings: Settings, tmp_path: Path
) -> None:
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.NoSuchFinder"]
    with pytest.raises((Refusal, ImportError)):
        plan(conf, bucket)
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.DefaultStorageFinder"]
    settings.MEDIA_ROOT = ""
    with pytest.raises(Refusal) as refused:
        plan(conf, bucket)
    assert [finding.id for finding in refused.value.findings] == ["deploy.A015"]


def test_damaged_manifest_in_the_bucket(conf: DeployConf, bucket: LocalBucket) -> None:
    bucket.put("static-manifests/r1.json", b'{"schema": 2}')
    with pytest.raises(Refusal) as refused:
        plan(conf, bucket)
    assert [finding.id for finding in refused.value.findings] == ["deploy.A020"]


def test_skipped_by_name_where_there_is_nothing_to_serve(
    conf: DeployConf, bucket: LocalBucket, settings: Settings
) -> None:
    settings.STATIC_URL = None
    assert plan(conf, bucket).skipped == "STATIC_URL is not set"
    settings.INSTALLED_APPS = ["deploy"]
    skipped = plan(conf, bucket).skipped
    assert skipped == "django.contrib.staticfiles is not in INSTALLED_APPS"


def test_javascript_modules_when_asked_for(
    conf: DeployConf, bucket: LocalBucket, site: Site, settings: Settings
) -> None:
    site.write("js/part.js", "export const a = 1;")
    site.write("js/main.js", 'import { a } from "./part.js";')
    use_storage(settings, OURS, javascript_modules=True)
    found = plan(conf, bucket)
    sent = {asset.path: asset for asset in found.to_send}
    assert sent["js/part.js"].name.rpartition("/")[2] in sent["js/main.js"].source.read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.JS", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.avif", "image/avif"),
        ("a.woff2", "font/woff2"),
        ("a.webmanifest", "application/manifest+json; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("noextension", "application/octet-stream"),
    ],
)
def test_content_types(name: str, expected: str) -> None:
    assert content_type(name) == expected


def test_the_sources_are_left_as_they_are(conf: DeployConf, bucket: LocalBucket, site: Site) -> None:
    before = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    plan(conf, bucket)
    assert {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()} == before
    assert before[site.folder / "css/site.css"] == CSS
