"""The database and its client programs, on a real PostgreSQL, a real file, and sockets that misbehave."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connections
from django.db.utils import InternalError, OperationalError

from deploy.conf import DeployConf
from deploy.preflight import run_checks
from deploy.preflight.clock import skew
from deploy.preflight.connection import reading
from deploy.reporting.report import Step

from .postgres_greeting import greeting
from .test_checks import break_database, ids, run

pytestmark = pytest.mark.django_db  # lets the checks' threads connect


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "a b.sqlite3"
    break_database(monkeypatch, ENGINE="django.db.backends.sqlite3", NAME=file, HOST="", USER="", OPTIONS={})
    return file


def test_sqlite_cannot_be_written(conf: DeployConf, sqlite: Path) -> None:
    sqlite3.connect(sqlite).close()
    sqlite.touch()
    with (
        reading(conf) as connection,
        connection.cursor() as cursor,
        pytest.raises(OperationalError, match="readonly"),
    ):
        cursor.execute("CREATE TABLE written (id int)")


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_healthy_postgres(conf: DeployConf) -> None:
    step = run(conf, "database")
    assert step.ok
    assert step.facts["engine"] == "postgresql"
    assert int(step.facts["version"].partition(".")[0]) >= 14
    assert step.facts["pending"] == []


def test_pending_migrations_are_listed_and_not_applied(
    conf: DeployConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A database that is there and empty: the one every server has.
    break_database(monkeypatch, NAME="postgres")
    step = run(conf, "database")
    assert ids(step) == ["deploy.P043"]
    assert step.ok
    assert "auth.0001_initial" in step.facts["pending"]
    assert f"{len(step.facts['pending'])} migrations" in step.findings[0].message
    assert run(conf, "database").facts["pending"] == step.facts["pending"]


def test_the_connection_cannot_write(conf: DeployConf) -> None:
    with (
        reading(conf) as connection,
        connection.cursor() as cursor,
        pytest.raises(InternalError, match="read-only"),
    ):
        cursor.execute("CREATE TABLE written (id int)")


def test_nobody_listens(conf: DeployConf, monkeypatch: pytest.MonkeyPatch) -> None:
    break_database(monkeypatch, HOST="127.0.0.1", PORT="1", PASSWORD="topsecret-password")
    step = run(conf, "database")
    assert ids(step) == ["deploy.P041"]
    assert "refused" in step.findings[0].message
    assert "topsecret" not in str(step.as_dict())


def test_server_that_never_answers(conf: DeployConf, monkeypatch: pytest.MonkeyPatch, silent: int) -> None:
    break_database(monkeypatch, HOST="127.0.0.1", PORT=str(silent))
    began = time.monotonic()
    (step,) = run_checks(replace(conf, check_timeout_seconds=5), only=["database"])
    assert ids(step) == ["deploy.P041"]  # by connect_timeout, before the runner's limit
    assert time.monotonic() - began < 4.5


def test_server_too_old(conf: DeployConf, monkeypatch: pytest.MonkeyPatch) -> None:
    with greeting("13.4") as port:
        break_database(monkeypatch, HOST="127.0.0.1", PORT=str(port))
        step = run(conf, "database")
    assert ids(step) == ["deploy.P042"]
    assert "13.4" in step.findings[0].message


def test_unsupported_engine(conf: DeployConf, monkeypatch: pytest.MonkeyPatch) -> None:
    break_database(monkeypatch, ENGINE="django.db.backends.dummy")
    for name in ("database", "client_tools", "host"):
        assert ids(run(conf, name)) == ["deploy.D002"]


def test_sqlite_that_does_not_exist_yet_is_not_made(conf: DeployConf, sqlite: Path) -> None:
    step = run(conf, "database")
    assert ids(step) == ["deploy.P040", "deploy.P043"]
    assert step.ok
    assert run(conf, "host").ok
    assert not sqlite.exists()


def test_sqlite_is_read_and_left_alone(conf: DeployConf, sqlite: Path) -> None:
    with closing(sqlite3.connect(sqlite)) as database:
        database.execute("CREATE TABLE kept (id int)")
    before = sqlite.read_bytes()
    step = run(conf, "database")
    assert ids(step) == ["deploy.P043"]
    assert run(conf, "client_tools").skipped == "SQLite needs no client programs"
    assert run(conf, "host").facts["database_bytes"] == len(before)
    assert sqlite.read_bytes() == before


def test_client_tools(conf: DeployConf, tmp_path: Path) -> None:
    step = run(conf, "client_tools")
    assert step.ok
    assert step.facts["pg_dump"] >= step.facts["server"]
    step = run(replace(conf, pg_bin=str(tmp_path)), "client_tools")
    assert ids(step) == ["deploy.D001", "deploy.D001"]


def test_client_tools_older_than_the_server(conf: DeployConf, tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 12.1'\n")
        (tmp_path / name).chmod(0o755)
    step: Step = run(replace(conf, pg_bin=str(tmp_path)), "client_tools")
    assert ids(step) == ["deploy.D001", "deploy.D001"]
    assert "found 12" in step.findings[0].message


def test_client_tools_without_a_server(conf: DeployConf, monkeypatch: pytest.MonkeyPatch) -> None:
    break_database(monkeypatch, HOST="127.0.0.1", PORT="1")
    assert run(conf, "client_tools").skipped == "the server's version is not known: see the check database"


@pytest.mark.parametrize(
    ("offset", "level", "words"),
    [
        (0, None, ""),
        (4, None, ""),
        (-4, None, ""),
        (6, "warning", "6 seconds behind the database's"),
        (-6, "warning", "6 seconds ahead of the database's"),
        (40, "error", "40 seconds behind"),
    ],
)
def test_clock(offset: int, level: str | None, words: str) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    findings = skew(now, now + timedelta(seconds=offset), now, "the database")
    assert [(finding.id, finding.level) for finding in findings] == (
        [("deploy.P050", level)] if level else []
    )
    assert all(words in finding.message for finding in findings)


def test_the_tests_left_the_alias_alone() -> None:
    assert connections.settings["default"]["ENGINE"] == "django.db.backends.postgresql"
