"""A project's static files in a temporary folder, and a local-folder bucket beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from deploy import conf as configuration
from deploy.assets import UploadPlan, plan_upload, upload
from deploy.buckets.base import Bucket
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.report import Step

OURS = "deploy.assets.storage.HashedStaticFilesStorage"

CSS = b'@import "base.css";\nbody { background: url("../img/logo.svg#icon"); }\n'
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


class Site:
    """The static sources of a project; `write` adds a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, data: bytes | str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        return file


@pytest.fixture
def site(tmp_path: Path, settings: Settings) -> Site:
    site = Site(tmp_path / "sources")
    site.write("css/site.css", CSS)
    site.write("css/base.css", "html { margin: 0 }\n")
    site.write("img/logo.svg", LOGO)
    site.write("robots.txt", "User-agent: *\n")
    settings.STATIC_URL = "/static/"
    settings.STATIC_ROOT = None
    settings.STATICFILES_DIRS = [str(site.folder)]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    use_storage(settings, OURS)
    settings.DEPLOY = {"STATIC_BUCKET": f"file://{tmp_path / 'static'}", "UPLOAD_THREADS": 4}
    return site


def use_storage(settings: Settings, backend: str, **options: object) -> None:
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": backend, "OPTIONS": options},
    }


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "static")


@pytest.fixture
def conf(site: Site) -> DeployConf:
    found, findings = configuration.read()
    assert not findings
    return found


@pytest.fixture
def send(conf: DeployConf) -> Callable[..., Step]:
    """Plan and upload release `release` to `bucket`; the step with facts and findings."""

    def run(
        bucket: Bucket,
        release: str = "r1",
        guard: Callable[[], None] = lambda: None,
        unhashed: tuple[str, ...] = (),
        plan: UploadPlan | None = None,
    ) -> Step:
        step = Step("static")
        used = replace(conf, static_unhashed=unhashed)
        plan = plan or plan_upload(used, bucket, release=release)
        step.facts.update(upload(plan, bucket, conf=used, guard=guard, step=step))
        return step

    return run
