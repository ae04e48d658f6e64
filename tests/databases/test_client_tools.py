"""Which client programs are used, and what they are told of the database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.databases import client_tools
from deploy.databases.client_tools import find_tool, libpq_environment
from deploy.reporting.findings import Refusal


def pretend(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    return folder


def test_the_oldest_that_is_not_older_than_the_server_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = pretend(tmp_path / "path", "pg_dump", "17.2 (Debian 17.2-1.pgdg120+1)")
    wheel = pretend(tmp_path / "wheel", "pg_dump", "18beta1")
    monkeypatch.setenv("PATH", str(on_path))
    monkeypatch.setattr(client_tools.embedded, "bin_dir", lambda: wheel)

    assert find_tool("pg_dump", server_major=17).path == on_path / "pg_dump"
    assert find_tool("pg_dump", server_major=18).path == wheel / "pg_dump"


def test_one_that_is_too_old_is_named(tmp_path: Path) -> None:
    folder = pretend(tmp_path, "pg_dump", "15.4")

    with pytest.raises(Refusal) as refused:
        find_tool("pg_dump", server_major=18, pg_bin=str(folder))

    assert refused.value.findings[0].id == "deploy.D001"
    assert "PostgreSQL 18 or newer was not found (found 15)" in refused.value.findings[0].message
    assert "postgresql-client-18" in refused.value.findings[0].hint


def test_a_program_is_asked_once_for_its_version_and_again_when_it_has_changed(tmp_path: Path) -> None:
    folder = pretend(tmp_path, "pg_dump", "17.2")
    asked = tmp_path / "asked"
    with (folder / "pg_dump").open("a") as script:
        script.write(f"echo >>{asked}\n")

    for _ in range(3):
        assert find_tool("pg_dump", server_major=17, pg_bin=str(folder)).major == 17
    assert asked.read_text() == "\n"

    pretend(tmp_path, "pg_dump", "18.1 after an upgrade")
    assert find_tool("pg_dump", server_major=17, pg_bin=str(folder)).major == 18


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nothing\n", "not a program"])
def test_one_that_does_not_run_is_not_there(tmp_path: Path, content: str) -> None:
    (tmp_path / "psql").write_text(content)
    (tmp_path / "psql").chmod(0o755)

    with pytest.raises(Refusal) as refused:
        find_tool("psql", server_major=14, pg_bin=str(tmp_path))

    assert refused.value.findings[0].id == "deploy.D001"


@pytest.mark.parametrize(
    ("name", "major", "server_major", "fits"),
    [
        ("pg_restore", 18, 16, False),
        ("pg_restore", 17, 14, False),
        ("pg_restore", 18, 17, True),
        ("pg_restore", 16, 14, True),
        ("pg_dump", 18, 14, True),
    ],
)
def test_a_pg_restore_that_the_server_would_not_understand_is_refused(
    tmp_path: Path, name: str, major: int, server_major: int, *, fits: bool
) -> None:
    folder = pretend(tmp_path, name, f"{major}.0")

    if fits:
        assert find_tool(name, server_major=server_major, pg_bin=str(folder)).major == major
        return
    with pytest.raises(Refusal) as refused:
        find_tool(name, server_major=server_major, pg_bin=str(folder))
    assert refused.value.findings[0].id == "deploy.D003"
    assert f"postgresql-client-{server_major}" in refused.value.findings[0].hint


def test_the_environment_says_where_the_database_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGUSER", "somebody")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    monkeypatch.setenv("AWS_SECRET", "x")
    monkeypatch.setenv("HOME", "/srv/app")  # ~/.pgpass, ~/.pg_service.conf, ~/.postgresql
    monkeypatch.setenv("KRB5CCNAME", "/run/tickets")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/roots.pem")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    database = {
        "NAME": "app",
        "USER": "deployer",
        "PASSWORD": "a b'c",
        "HOST": "db.internal",
        "PORT": 6432,
        "OPTIONS": {"sslrootcert": "/ca.pem", "pool": True, "connect_timeout": 5, "assume_role": "owner"},
    }

    assert libpq_environment(database) == {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "HOME": "/srv/app",
        "KRB5CCNAME": "/run/tickets",
        "SSL_CERT_FILE": "/etc/roots.pem",
        "PGAPPNAME": "deploy",
        "PGDATABASE": "app",
        "PGUSER": "deployer",
        "PGPASSWORD": "a b'c",
        "PGHOST": "db.internal",
        "PGPORT": "6432",
        "PGSSLMODE": "require",
        "PGSSLROOTCERT": "/ca.pem",
        "PGCONNECT_TIMEOUT": "5",
    }
    assert libpq_environment(database, name="other")["PGDATABASE"] == "other"
