"""The same endpoints in Django's asynchronous stack, and as plain URLs without the middleware."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.test import Client, override_settings

from deploy.health.checks import DatabaseAnswers, SchemaIsThere

from .serving import black_hole

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forget_earlier_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for check in (DatabaseAnswers, SchemaIsThere):
        monkeypatch.setattr(check.shared, "_attempt", None)
        monkeypatch.setattr(check, "_failing", False)
    monkeypatch.setattr(SchemaIsThere, "latched", False)
    yield
    for check in (DatabaseAnswers, SchemaIsThere):
        check.shared._attempt = None


@pytest.fixture
def hung_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with black_hole() as port:
        monkeypatch.setitem(connections.settings["default"], "HOST", "127.0.0.1")
        monkeypatch.setitem(connections.settings["default"], "PORT", str(port))
        yield


async def ask(application: ASGIHandler, path: str) -> tuple[int, dict[str, str]]:
    """One request, as an ASGI server sends it."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"10.0.0.9")],
    }
    server = ApplicationCommunicator(application, scope)
    await server.send_input({"type": "http.request", "body": b""})
    start = await server.receive_output(10)
    await server.receive_output(10)
    await server.wait()
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}


@pytest.fixture(params=["all middleware", "health alone"])
def application(request: pytest.FixtureRequest) -> Iterator[ASGIHandler]:
    """With synchronous middleware behind it Django runs ours in a thread, alone it runs in the loop."""
    middleware = settings.MIDDLEWARE if request.param == "all middleware" else settings.MIDDLEWARE[:1]
    with override_settings(MIDDLEWARE=middleware, ALLOWED_HOSTS=["site.example"]):
        yield ASGIHandler()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/version"])
def test_answers_under_asgi(application: ASGIHandler, path: str) -> None:
    status, headers = asyncio.run(ask(application, path))
    assert status == 200
    assert headers["x-release"] == "test-release"


def test_the_event_loop_is_not_held_by_a_hung_database(application: ASGIHandler, hung_database: None) -> None:
    async def both() -> tuple[int, float, float]:
        began = time.monotonic()
        probe = asyncio.create_task(ask(application, "/readyz"))
        await asyncio.sleep(0.2)
        assert (await ask(application, "/livez"))[0] == 200
        live_seconds = time.monotonic() - began
        status, _ = await probe
        return status, live_seconds, time.monotonic() - began

    status, live_seconds, seconds = asyncio.run(both())
    assert status == 503
    assert live_seconds < 1
    assert 1.8 < seconds < 3


def test_livez_and_version_never_touch_the_database(hung_database: None) -> None:
    began = time.monotonic()
    assert Client().get("/livez").status_code == 200
    assert Client().get("/version").status_code == 200
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/version"])
def test_the_urls_alone_work_in_a_project_with_atomic_requests(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for alias in connections:
        monkeypatch.setitem(connections[alias].settings_dict, "ATOMIC_REQUESTS", True)
    with override_settings(MIDDLEWARE=[]):
        response = Client().get(path)
    assert response.status_code == 200
    assert "X-Release" not in response.headers


@pytest.mark.parametrize("query", ["?format=text", "?format=openmetrics", "?format=rss"])
def test_no_format_tells_an_anonymous_asker_why(hung_database: None, query: str) -> None:
    response = Client().get(f"/readyz{query}", headers={"accept": "text/html"})
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable"}
