from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings

from deploy import conf as configuration
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.maintenance import answers
from deploy.maintenance.middleware import MaintenanceMiddleware
from deploy.maintenance.state import Maintenance, begin, end

NOW = datetime(2026, 11, 25, 4, 0, 0, tzinfo=UTC)


def _on(conf: DeployConf, bucket: LocalBucket, text: str = "Database upgrade", minutes: float = 30) -> None:
    begin(conf, bucket, text, expected_end=datetime.now(UTC) + timedelta(minutes=minutes))


def test_everybody_is_answered_as_ever_while_it_is_off(conf: DeployConf) -> None:
    assert Client().get("/").status_code == 200


def test_people_get_a_page_with_the_estimate(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket, "Upgrade <b>now</b>")
    response = Client().get("/?next=%22%3E")
    assert response.status_code == 503
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["Cache-Control"] == "no-store"
    assert 30 * 60 - 120 < int(response.headers["Retry-After"]) <= 30 * 60
    page = response.content.decode()
    assert '<html lang="en">' in page
    assert "Upgrade &lt;b&gt;now&lt;/b&gt;" in page
    assert "in about 30 minutes" in page
    assert 'href="/?next=%22%3E"' in page
    # Nothing that the site's policy or a missing bucket could block.
    assert not re.search(r"<(script|style|link|img)|style=", page)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("method", "path"), [("get", "/api/images"), ("post", "/api/feedback")])
def test_the_api_gets_json_in_its_own_shape(
    conf: DeployConf, bucket: LocalBucket, method: str, path: str
) -> None:
    _on(conf, bucket)
    response = getattr(Client(), method)(path, content_type="application/json")
    assert response.status_code == 503
    body = response.json()
    assert body["detail"] == [{"field": None, "message": "Database upgrade"}]
    assert datetime.fromisoformat(body["expected_end"]) > datetime.now(UTC)
    assert int(response.headers["Retry-After"]) > 30


def test_whoever_prefers_json_gets_it(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket)
    client = Client()
    assert "detail" in client.get("/", headers={"accept": "application/json"}).json()
    for accept in ("*/*", "text/html,application/xhtml+xml,*/*;q=0.8", ""):
        response = client.get("/", headers={"accept": accept})
        assert response.headers["Content-Type"].startswith("text/html"), accept


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/admin/login/"])
def test_probes_and_the_way_in_stay_open(conf: DeployConf, bucket: LocalBucket, path: str) -> None:
    _on(conf, bucket)
    assert Client().get(path).status_code == 200


def test_static_files_of_our_own_stay_open(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket)
    assert Client().get("/static/admin/css/nothing.css").status_code == 404


@pytest.mark.django_db
def test_staff_sign_in_and_pass_and_nobody_else_does(conf: DeployConf, bucket: LocalBucket) -> None:
    User.objects.create_user("staff", password="a-long-password", is_staff=True)
    User.objects.create_user("user", password="a-long-password")
    _on(conf, bucket)
    staff, user = Client(), Client()
    login = staff.post("/admin/login/?next=/admin/", {"username": "staff", "password": "a-long-password"})
    assert login.status_code == 302
    assert staff.get("/").status_code == 200
    assert staff.get("/admin/").status_code == 200
    user.login(username="user", password="a-long-password")
    assert user.get("/").status_code == 503
    User.objects.filter(username="staff").update(is_active=False)
    assert staff.get("/").status_code == 503


def test_a_visitor_without_a_session_costs_no_query(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket)  # without the mark, pytest-django fails whatever asks the database
    assert Client().get("/", headers={"cookie": "theme=dark"}).status_code == 503


def test_while_the_database_is_away_the_answer_is_503_and_not_500(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    class Session:
        session_key = "abc"

    class Request(HttpRequest):
        path_info = path = "/"
        session = Session()

        @property
        def user(self) -> Any:
            raise OperationalError("server closed the connection")

    _on(conf, bucket)
    middleware = MaintenanceMiddleware(lambda _: HttpResponse("in"))
    request = Request()
    request.method = "GET"
    response = middleware(request)
    assert isinstance(response, HttpResponse)
    assert response.status_code == 503


def test_a_long_maintenance_does_not_alarm_anybody(
    conf: DeployConf, bucket: LocalBucket, caplog: pytest.LogCaptureFixture
) -> None:
    _on(conf, bucket)
    with caplog.at_level(logging.DEBUG, "django.request"):
        Client().get("/")
    assert [record.getMessage() for record in caplog.records if record.name == "django.request"] == []


def test_the_end_is_noticed(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket)
    client = Client()
    assert client.get("/").status_code == 503
    end(conf, bucket)
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while client.get("/").status_code == 503:
        assert datetime.now(UTC) < deadline


def test_under_asgi_it_is_the_same(conf: DeployConf, bucket: LocalBucket) -> None:
    async def inner(_: HttpRequest) -> HttpResponse:
        return HttpResponse("in")

    async def ask(middleware: Any, path: str) -> int:
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        response: HttpResponse = await middleware(ASGIRequest(scope, None))
        return response.status_code

    assert asyncio.run(ask(MaintenanceMiddleware(inner), "/")) == 200
    _on(conf, bucket)
    middleware = MaintenanceMiddleware(inner)
    assert asyncio.run(ask(middleware, "/")) == 503
    assert asyncio.run(ask(middleware, "/livez")) == 200


def test_the_whole_of_optifit_under_asgi(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket)

    async def ask() -> int:
        return (await AsyncClient().get("/")).status_code

    assert asyncio.run(ask()) == 503


def test_with_a_broken_bucket_the_site_goes_on() -> None:
    with override_settings(DEPLOY={"BUCKET": "file:///proc/no/such/folder"}):
        assert Client().get("/").status_code == 200
    with override_settings(DEPLOY={"BUCKET": "nonsense"}):
        assert Client().get("/").status_code == 200


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(None, 60), (30, 1800), (0.1, 30), (-60, 30), (0.51, 31), (60 * 24, 86400)]
)
def test_retry_after_is_whole_seconds_until_the_estimate(minutes: float | None, seconds: int) -> None:
    expected_end = None if minutes is None else NOW + timedelta(minutes=minutes)
    assert answers.retry_after_seconds(Maintenance("", NOW, expected_end, ""), NOW) == seconds


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(None, ""), (0.5, "in about 1 minute."), (-5, "longer than we thought"), (60 * 24 * 2, " November, ")],
)
def test_the_page_says_what_is_known(minutes: float | None, said: str) -> None:
    now = NOW
    expected_end = None if minutes is None else now + timedelta(minutes=minutes)
    page = answers._page(RequestFactory().get("/x"), Maintenance("", now, expected_end, ""), now)
    assert answers.DEFAULT_TEXT in page
    assert said in page
    assert ("<time" in page) is (minutes is not None)


def test_the_configuration_is_checked() -> None:
    wrong = {"MAINTENANCE_OPEN_PATHS": ["/"], "MAINTENANCE_API_PREFIXES": "/api/"}
    with override_settings(DEPLOY=wrong):
        _, findings = configuration.read()
    assert [finding.id for finding in findings] == ["deploy.C002", "deploy.C003"]


def test_paths_are_whole_parts(conf: DeployConf, bucket: LocalBucket) -> None:
    _on(conf, bucket)
    client: Callable[[str], Any] = Client().get
    assert client("/livezebra").status_code == 503
    assert json.loads(client("/api/").content)["expected_end"]
    assert client("/apiary").headers["Content-Type"].startswith("text/html")
