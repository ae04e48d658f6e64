from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from deploy.assets import read_release_manifest, urls
from deploy.buckets.local import LocalBucket
from deploy.reporting.report import Step

from .conftest import LOGO, Site

urlpatterns = [path("", include("deploy.assets.urls"))]
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def client(settings: Settings, site: Site) -> Client:
    settings.MIDDLEWARE = []
    settings.ROOT_URLCONF = __name__
    return Client()


@pytest.fixture
def logo(bucket: LocalBucket, send: Callable[..., Step]) -> str:
    send(bucket, unhashed=("robots.txt",))
    manifest = read_release_manifest(bucket, "r1")
    assert manifest is not None
    return f"/static/{manifest.files['img/logo.svg'].name}"


def body(response: object) -> bytes:
    return b"".join(response)  # type: ignore[call-overload, no-any-return]  # a streaming response


def test_hashed_file_out_of_the_bucket(client: Client, logo: str) -> None:
    response = client.get(logo)
    assert response.status_code == 200
    assert body(response) == LOGO
    assert response["Content-Type"] == "image/svg+xml"
    assert response["Cache-Control"] == IMMUTABLE
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == str(len(LOGO))


def test_unhashed_file_is_cached_for_minutes(client: Client, logo: str) -> None:
    assert client.get("/static/robots.txt")["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_conditional_request_is_not_sent_the_file_again(client: Client, logo: str, header: str) -> None:
    first = client.get(logo)
    condition = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}[header]
    again = client.get(logo, headers={condition: first[header]})
    assert again.status_code == 304
    assert isinstance(again, HttpResponse)
    assert again.content == b""
    assert again["Cache-Control"] == IMMUTABLE
    assert again["X-Content-Type-Options"] == "nosniff"


def test_head_has_the_headers_alone(client: Client, logo: str) -> None:
    response = client.head(logo)
    assert response["Content-Length"] == str(len(LOGO))
    assert body(response) == b""


def test_the_old_releases_files_stay(
    client: Client, logo: str, site: Site, bucket: LocalBucket, send: Callable[..., Step]
) -> None:
    site.write("img/logo.svg", LOGO + b"\n")
    send(bucket, release="r2")
    assert client.get(logo).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "nothing.css",
        "css/site.css",
        "static-manifests/r1.json",
        "../settings.py",
        "%2e%2e/%2e%2e/etc/passwd",
        "css/../../../etc/passwd",
        "/etc/passwd",
        "a%00b",
        "%system/locks/0",
    ],
)
def test_nothing_else_is_served(client: Client, logo: str, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_only_reading_is_allowed(client: Client, logo: str) -> None:
    assert client.post(logo).status_code == 405


def test_baked_file_when_the_bucket_has_none(client: Client, settings: Settings, tmp_path: Path) -> None:
    root = tmp_path / "root"
    settings.STATIC_ROOT = str(root)
    call_command("collectstatic", interactive=False, verbosity=0)
    (hashed,) = (file.name for file in (root / "img").glob("logo.*.svg"))
    response = client.get(f"/static/img/{hashed}")
    assert body(response) == LOGO
    assert response["Cache-Control"] == IMMUTABLE
    assert client.get(f"/static/img/{hashed}", headers={"If-None-Match": response["ETag"]}).status_code == 304
    assert client.get("/static/img/logo.svg").status_code == 404  # plain names only where they are configured
    assert client.get("/static/staticfiles.json").status_code == 404


def test_plain_names_from_the_sources_with_debug(client: Client, settings: Settings) -> None:
    settings.DEBUG = True
    response = client.get("/static/img/logo.svg")
    assert body(response) == LOGO
    assert response["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("static_url", "routes"), [("/static/", 1), ("https://cdn.example.com/", 0), (None, 0), ("/", 0)]
)
def test_no_route_where_another_host_serves(settings: Settings, static_url: str | None, routes: int) -> None:
    settings.STATIC_URL = static_url
    try:
        assert len(importlib.reload(urls).urlpatterns) == routes
    finally:
        settings.STATIC_URL = "/static/"
        importlib.reload(urls)
