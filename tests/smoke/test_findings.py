"""One thing wrong at a time: exactly its finding is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding
from deploy.smoke import run_probes

from .broken import LOGIN_FORM, PAGE_HEADERS, STATIC, Reply, Site, healthy, json_reply, served

Replies = dict[str, Any]


def findings(
    conf: DeployConf, replies: Replies, *, release: str | None = "r1", **options: Any
) -> list[Finding]:
    with override_settings(STATIC_URL="/static/", DEBUG=False), served(Site(replies)) as site:
        steps = run_probes(conf, site.url, release=release, behind_proxy=True, **options)
    return [finding for step in steps for finding in step.findings]


def without(header: str, path: str = "/admin/login/") -> Callable[[Replies], None]:
    def change(replies: Replies) -> None:
        replies[path].headers[header] = ""

    return change


def replaced(path: str, reply: Reply) -> Callable[[Replies], None]:
    def change(replies: Replies) -> None:
        replies[path] = reply

    return change


def alternating() -> Callable[[Replies], None]:
    count = iter(range(1000))

    def change(replies: Replies) -> None:
        replies["/version"] = lambda _: json_reply({"release": f"r{next(count) % 2}"})

    return change


def static(**headers: str) -> Reply:
    good = healthy()[STATIC]
    assert isinstance(good, Reply)
    return Reply(200, {**good.headers, **headers}, "body{}")


def linking(name: str) -> Callable[[Replies], None]:
    def change(replies: Replies) -> None:
        for path in ("/", "/admin/login/"):
            replies[path].body = replies[path].body.replace(STATIC, name)
        replies[name] = static()

    return change


def page_without_links(replies: Replies) -> None:
    for path in ("/", "/admin/login/"):
        replies[path].body = replies[path].body.replace(STATIC, "/other.css")


def login_without_cookie(replies: Replies) -> None:
    replies["/admin/login/"].cookies = []


def cookie_without_secure(replies: Replies) -> None:
    replies["/admin/login/"].cookies = ["csrftoken=abc; Path=/; Comment=not-Secure"]


def debug_page(text: str) -> Callable[[Replies], None]:
    return replaced("missing", Reply(404, dict(PAGE_HEADERS), text))


CASES: list[tuple[str, Callable[[Replies], None]]] = [
    ("deploy.S005", replaced("/", Reply(302, {"Location": "https://elsewhere.example/"}))),
    ("deploy.S005", replaced("/", Reply(302, {"Location": "//elsewhere.example/static/"}))),
    ("deploy.S005", replaced("/", Reply(302, {}))),
    ("deploy.S006", replaced("missing", Reply(404, {}, b"x" * (2 * 1024 * 1024 + 1)))),
    ("deploy.S010", replaced("/livez", Reply(404))),
    ("deploy.S011", replaced("/readyz", Reply(500))),
    ("deploy.S012", replaced("/startupz", Reply(404))),
    ("deploy.S020", replaced("/version", Reply(200, {}, "<html>"))),
    ("deploy.S020", replaced("/version", json_reply(["r1"]))),
    ("deploy.S020", replaced("/version", json_reply({"release": None}))),
    ("deploy.S021", replaced("/version", json_reply({"release": "r0"}))),
    ("deploy.S021", alternating()),
    ("deploy.S023", without("X-Release")),
    ("deploy.S030", without("X-Content-Type-Options")),
    ("deploy.S031", without("Referrer-Policy")),
    ("deploy.S032", without("X-Frame-Options")),
    ("deploy.S033", without("Strict-Transport-Security")),
    ("deploy.S034", cookie_without_secure),
    ("deploy.S040", page_without_links),
    ("deploy.S041", replaced(STATIC, Reply(404))),
    ("deploy.S041", replaced(STATIC, Reply(200, {"Content-Type": "text/css"}, ""))),
    ("deploy.S042", replaced(STATIC, static(**{"Content-Type": "text/plain"}))),
    ("deploy.S043", replaced(STATIC, static(**{"Cache-Control": "no-cache"}))),
    ("deploy.S043", replaced(STATIC, static(**{"Cache-Control": "max-age=0, immutable"}))),
    ("deploy.S044", linking("/static/site.css")),
    ("deploy.S051", login_without_cookie),
    ("deploy.S053", replaced("POST /admin/login/", Reply(200, dict(PAGE_HEADERS), LOGIN_FORM))),
    ("deploy.S053", replaced("POST /admin/login/", Reply(302, {"Location": "/admin/"}))),
    ("deploy.S053", replaced("POST /admin/login/", Reply(403))),
    ("deploy.S060", replaced("POST /api/token", json_reply({"detail": "no"}, 401))),
    ("deploy.S061", replaced("POST /api/token", json_reply({"access": "x"}))),
    ("deploy.S061", replaced("POST /api/token", json_reply({"token": "a\r\nX-Evil: 1"}))),
    ("deploy.S062", replaced("/api/items", json_reply({"detail": "broken"}, 500))),
    ("deploy.S063", replaced("/api/items", Reply(200, {"Content-Type": "text/html"}, "<p>"))),
    ("deploy.S070", replaced("missing", Reply(200, dict(PAGE_HEADERS), "all is well"))),
    ("deploy.S071", debug_page("Using the URLconf defined in site.urls, Django tried")),
    ("deploy.S071", debug_page("Traceback (most recent call last):")),
    ("deploy.S080", replaced("wrong host", Reply(200, {}, "welcome"))),
    ("deploy.S080", replaced("wrong host", Reply(301, {"Location": "https://deploy-smoketest.invalid/"}))),
]


def test_a_healthy_server_has_no_findings(conf: DeployConf) -> None:
    assert findings(conf, healthy()) == []


@pytest.mark.parametrize(
    ("expected", "change"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_one_thing_wrong_is_one_finding(
    conf: DeployConf, expected: str, change: Callable[[Replies], None]
) -> None:
    replies = healthy()
    change(replies)
    found = findings(conf, replies)
    assert [finding.id for finding in found] == [expected]
    assert found[0].hint
    assert "smoke-password" not in f"{found[0]}"


def test_a_broken_login_page_is_told(conf: DeployConf) -> None:
    replies = {**healthy(), "/admin/login/": Reply(500, dict(PAGE_HEADERS), "<h1>Server Error</h1>")}
    assert "deploy.S050" in {finding.id for finding in findings(conf, replies)}


def test_a_login_page_without_its_form_is_told(conf: DeployConf) -> None:
    replies = healthy()
    page = replies["/admin/login/"]
    assert isinstance(page, Reply)
    page.body = f'<link href="{STATIC}"><form><input name="q"></form>'
    assert [finding.id for finding in findings(conf, replies)] == ["deploy.S052"]


def test_several_releases_at_one_address_are_told_when_none_is_expected(conf: DeployConf) -> None:
    replies = healthy()
    alternating()(replies)
    assert [finding.id for finding in findings(conf, replies, release=None)] == ["deploy.S022"]


def test_any_host_is_but_a_note_in_debug(conf: DeployConf) -> None:
    replies = {**healthy(), "wrong host": Reply(200, {}, "welcome")}
    with override_settings(STATIC_URL="/static/", DEBUG=True), served(Site(replies)) as site:
        steps = run_probes(conf, site.url, release="r1", behind_proxy=True)
    assert [(f.id, f.level) for step in steps for f in step.findings] == [("deploy.S080", "info")]


def test_a_wrong_host_may_be_sent_to_the_right_one(conf: DeployConf) -> None:
    replies = {**healthy(), "wrong host": Reply(301, {"Location": "https://right.example/"})}
    assert findings(conf, replies) == []


def test_csp_frame_ancestors_is_as_good_as_frame_options(conf: DeployConf) -> None:
    replies = healthy()
    without("X-Frame-Options")(replies)
    replies["/admin/login/"].headers["Content-Security-Policy"] = "frame-ancestors 'none'"  # type: ignore[union-attr]  # a Reply
    assert findings(conf, replies) == []
