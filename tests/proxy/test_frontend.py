"""The frontend's Caddy with a bundle that has the file names of a Flutter web build."""

import gzip
import json

import pytest

from .caddy import FILES, running

pytestmark = pytest.mark.needs_caddy

SCRIPT = b"console.log('optifit');" * 100
BUNDLE = {
    "index.html": b"<!doctype html><base href='/'><script src='flutter_bootstrap.js' async></script>"
    + b" " * 600,
    "flutter_bootstrap.js": SCRIPT,
    "flutter_service_worker.js": SCRIPT,
    "flutter.js": SCRIPT,
    "main.dart.js": SCRIPT,
    "main.dart.js_1.part.js": SCRIPT,
    "main.dart.mjs": SCRIPT,
    "main.dart.wasm": b"\0asm\1\0\0\0" + b"\0" * 1000,
    "version.json": json.dumps({"version": "1.2.3"}).encode(),
    "manifest.json": b"{}",
    "favicon.png": b"\x89PNG",
    "icons/Icon-192.png": b"\x89PNG",
    "assets/AssetManifest.bin.json": b'"DQ=="',
    "assets/fonts/MaterialIcons-Regular.otf": b"OTTO",
    "assets/images/logo.3f2a1b9c.png": b"\x89PNG",
    "canvaskit/canvaskit.js": SCRIPT,
    "canvaskit/canvaskit.wasm": b"\0asm\1\0\0\0",
    "canvaskit/canvaskit.js.symbols": b"0:main",
    "main.dart.js.map": b"{}",
    ".last_build_id": b"3f2a",
    ".well-known/apple-app-site-association": b"{}",
}
NOT_SERVED = {"canvaskit/canvaskit.js.symbols", "main.dart.js.map", ".last_build_id"}
HASHED = {"assets/images/logo.3f2a1b9c.png"}


@pytest.fixture(scope="module")
def frontend(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frontend")
    for name, content in BUNDLE.items():
        path = folder / "srv" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "srv/main.dart.js.gz").write_bytes(gzip.compress(SCRIPT + b"// made at build"))
    with running(
        folder / "caddy",
        FILES / "frontend.Caddyfile",
        BUNDLE_DIR=str(folder / "srv"),
        RELEASE="f-1",
        CSP_ORIGINS="https://storage.googleapis.com",
    ) as caddy:
        yield caddy


@pytest.mark.parametrize("name", sorted(BUNDLE.keys() - NOT_SERVED))
def test_each_file_is_served_and_cached_by_what_its_name_promises(frontend, name):
    answer = frontend.ask(f"/{name}")
    assert (answer.status, answer.body) == (200, BUNDLE[name])
    if name in HASHED:
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        return
    assert answer.headers["Cache-Control"] == "no-cache"
    again = frontend.ask(f"/{name}", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", sorted(NOT_SERVED))
def test_what_the_build_leaves_for_developers_is_not_served(frontend, name):
    assert frontend.ask(f"/{name}").status == 404


@pytest.mark.parametrize("path", ["/", "/training", "/training/42/sets", "/a%20b?c=d", "/training/"])
def test_an_address_of_the_app_is_its_page(frontend, path):
    answer = frontend.ask(path)
    assert (answer.status, answer.body) == (200, BUNDLE["index.html"])
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/main.dart.js_9.part.js",
        "/assets/gone",
        "/canvaskit/gone",
        "/x.0123456789abcdef.js",
        "/.well-known/x",
    ],
)
def test_a_file_that_is_gone_is_404_and_kept_by_nobody(frontend, path):
    answer = frontend.ask(path)
    assert answer.status == 404
    assert answer.headers["Cache-Control"] == "no-store"
    assert b"<html" not in answer.body


def test_types_are_those_that_browsers_insist_on(frontend):
    for name, wanted in {
        "main.dart.js": "javascript",
        "main.dart.mjs": "javascript",
        "main.dart.wasm": "application/wasm",
        "version.json": "application/json",
        ".well-known/apple-app-site-association": "application/json",
    }.items():
        assert wanted in frontend.ask(f"/{name}").headers["Content-Type"], name


def test_what_was_compressed_at_build_is_sent_so_and_the_rest_on_the_way(frontend):
    ready = frontend.ask("/main.dart.js", Accept_Encoding="gzip")
    assert (ready.headers["Content-Encoding"], ready.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(ready.body) == SCRIPT + b"// made at build"
    for name in ("flutter.js", "main.dart.wasm", "index.html"):
        answer = frontend.ask(f"/{name}", Accept_Encoding="zstd, gzip")
        assert answer.headers["Content-Encoding"] == "zstd", name
        assert "Accept-Encoding" in answer.headers["Vary"], name


def test_pages_are_locked_down_as_far_as_flutter_permits(frontend):
    headers = frontend.ask("/").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["frame-ancestors"] == "'none'"
    assert "https://storage.googleapis.com" in policy["img-src"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Release"] == "f-1"
    assert headers["Server"] is None


def test_nothing_outside_of_the_bundle_is_reached(frontend):
    for path in ("/../caddy/caddy.log", "/%2e%2e/caddy/caddy.log", "/assets/..%2f..%2fcaddy/caddy.log"):
        answer = frontend.ask(path)
        assert answer.status in (301, 308, 400, 404), path


def test_only_reading_is_possible(frontend):
    assert frontend.ask("/index.html", "POST", body=b"x").status == 405


def test_the_container_s_health_check_is_answered(frontend):
    assert frontend.ask("/healthz").status == 204
