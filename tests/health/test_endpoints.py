"""The four addresses on a real gunicorn in front of a real PostgreSQL."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from .serving import Served, black_hole, connect, database, gunicorn, manage, server_entry

ALL = ("/livez", "/readyz", "/startupz", "/version")


@pytest.fixture(scope="module")
def migrated() -> Iterator[str]:
    with database() as name:
        manage(server_entry(name), "migrate", "-v0")
        yield name


@pytest.fixture(scope="module", params=["sync", "gthread"])
def site(request: pytest.FixtureRequest, migrated: str) -> Iterator[Served]:
    with gunicorn(server_entry(migrated), "--worker-class", request.param, "--threads", "2") as served:
        yield served


@pytest.mark.parametrize("path", ALL)
def test_answers_any_host_over_plain_http(site: Served, path: str) -> None:
    answer = site.ask(path, host="10.1.2.3:8000")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-release"] == "release-1"
    assert "no-store" in answer.headers["cache-control"]
    if path != "/version":
        assert answer.json() == {"status": "ok"}


def test_other_pages_still_meet_allowed_hosts_and_the_redirect_to_https(site: Served) -> None:
    assert site.ask("/admin/login/", host="10.1.2.3").status == 400
    redirect = site.ask("/admin/login/", host="site.example")
    assert redirect.status == 301
    assert redirect.headers["location"].startswith("https://")
    assert redirect.headers["x-release"] == "release-1"


@pytest.mark.parametrize("path", ALL)
def test_head_is_answered_without_a_body(site: Served, path: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


@pytest.mark.parametrize("path", ALL)
def test_nothing_can_be_posted(site: Served, path: str) -> None:
    assert site.ask(path, method="POST").status == 405


def test_version_tells_release_and_since_when(site: Served) -> None:
    told = site.ask("/version").json()
    assert told["release"] == "release-1"
    assert "commit" not in told
    age = datetime.now(UTC) - datetime.fromisoformat(told["started"])
    assert 0 <= age.total_seconds() < 120


def test_probes_leave_no_connection_behind_and_do_not_cost_one_each(site: Served, migrated: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: site.ask("/readyz"), range(40)))
    assert {answer.status for answer in [*answers, site.ask("/startupz")]} == {200}
    deadline = time.monotonic() + 5
    with connect(migrated) as server:
        others = (
            "SELECT backend_type, application_name, state, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        while (left := server.execute(others).fetchall()) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert left == []


@pytest.mark.parametrize(
    "options", [("--worker-class", "sync"), ("--worker-class", "gthread", "--threads", "4")]
)
def test_a_database_that_never_answers_makes_it_unready_within_the_limit(options: tuple[str, ...]) -> None:
    with black_hole() as port:
        entry = {**server_entry("postgres"), "HOST": "127.0.0.1", "PORT": port}
        with gunicorn(entry, *options) as site:
            answer = site.ask("/readyz")
            assert answer.status == 503
            assert answer.json() == {"status": "unavailable"}
            assert answer.headers["retry-after"] == "2"
            assert answer.headers["x-release"] == "release-1"
            assert 1.8 < answer.seconds < 3
            # The worker is free again at once, although the connection attempt may still be hanging.
            assert site.ask("/livez").seconds < 0.5
            assert site.ask("/readyz").seconds < 3


def test_a_database_that_is_down_is_told_to_the_log_once_and_to_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    entry = {**server_entry("postgres"), "HOST": "127.0.0.1", "PORT": port, "PASSWORD": "hidden-password"}
    with gunicorn(entry) as site:
        for _ in range(3):
            answer = site.ask("/readyz")
            assert answer.status == 503
            assert answer.json() == {"status": "unavailable"}
            time.sleep(0.6)  # longer than an answer is shared
        assert site.ask("/livez").status == 200
        log = site.log.read_text()
    assert log.count("DatabaseAnswers fails: OperationalError") == 1
    assert "Traceback" not in log
    assert "Service Unavailable" not in log
    assert "hidden-password" not in log


def test_becomes_ready_again_when_the_database_is_back() -> None:
    with database() as name, gunicorn(server_entry(name)) as site, connect() as server:
        assert site.ask("/readyz").status == 200
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        time.sleep(0.6)
        assert site.ask("/readyz").status == 503
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        time.sleep(0.6)
        assert site.ask("/readyz").status == 200
        assert "DatabaseAnswers is well again" in site.log.read_text()


def test_unready_while_its_server_drains_and_serving_all_the_same(migrated: str, tmp_path: Path) -> None:
    file = tmp_path / "draining"
    with gunicorn(server_entry(migrated), DRAIN_FILE=str(file)) as site:
        assert site.ask("/readyz").status == 200
        file.touch()
        answer = site.ask("/readyz")
        assert (answer.status, answer.json()) == (503, {"status": "unavailable"})
        assert {site.ask(path).status for path in ("/livez", "/startupz", "/version")} == {200}
        file.unlink()
        assert site.ask("/readyz").status == 200


def test_started_only_when_every_migration_of_the_image_is_applied_and_then_for_good() -> None:
    with database() as name:
        entry = server_entry(name)
        manage(entry, "migrate", "-v0")
        with connect(name) as server:
            server.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
            server.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('admin', '0099_newer', now())"
            )
            with gunicorn(entry) as site:
                assert site.ask("/startupz").status == 503
                assert site.ask("/readyz").status == 200
                assert "not applied: sessions.0001_initial" in site.log.read_text()
                server.execute(
                    "INSERT INTO django_migrations (app, name, applied)"
                    " VALUES ('sessions', '0001_initial', now())"
                )
                time.sleep(0.6)
                assert site.ask("/startupz").status == 200
                server.execute("DROP TABLE django_migrations")
                time.sleep(0.6)
                assert site.ask("/startupz").status == 200


def test_starting_does_not_wait_for_migrations_that_are_left_to_postdeploy() -> None:
    with database() as name:
        entry = server_entry(name)
        manage(entry, "migrate", "-v0")
        with connect(name) as server:
            server.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
        with gunicorn(entry, DEFERRED_MIGRATIONS="sessions.0001_initial other.0002_gone") as site:
            assert site.ask("/startupz").status == 200
