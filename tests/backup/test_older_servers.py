"""The round trip on servers older than the embedded one: Debian's, and the other one of the wheel."""

from __future__ import annotations

import copy
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from deploy import backup
from deploy.backup.engines import postgresql_parts
from deploy.buckets.local import LocalBucket
from deploy.databases import embedded
from deploy.databases import postgresql as server
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS, AWKWARD, configuration_of, project_of
from .test_definitions import REWRITTEN

Guard = Callable[[], None]


def debian() -> Path:
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def wheel_16() -> Path:
    newest = embedded.bin_dir()
    assert newest is not None
    return newest.parents[1] / "pginstall" / "bin"


@contextmanager
def serving(tools: Path) -> Iterator[Path]:
    """A server of its own; its socket's folder. As root, it runs as the user of the embedded server."""
    user = "pgserver" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="older-"))  # short, and not below a folder that only root enters
    if user:
        shutil.chown(folder, user)
    control = [str(tools / "pg_ctl"), "--pgdata", str(folder / "data"), "--silent"]
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"

    def run(*argv: str) -> None:
        subprocess.run(
            argv, user=user, check=True, stdout=subprocess.DEVNULL, cwd=folder, env={"PATH": os.defpath}
        )

    try:
        run(str(tools / "initdb"), "--username=postgres", "--auth=trust", "--locale=C.UTF-8",
            "--encoding=UTF8", "--no-sync", str(folder / "data"))  # fmt: skip
        run(*control, "--wait", "--log", str(folder / "log"), "--options", options, "start")
        try:
            yield folder
        finally:
            run(*control, "--wait", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=[pytest.param(debian, marks=pytest.mark.needs_postgresql), wheel_16])
def older(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Path]]:
    tools = request.param()
    with serving(tools) as socket:
        yield tools, socket


@pytest.mark.parametrize("jobs", [1, 2])
def test_everything_awkward_comes_back_on_an_older_server(
    older: tuple[Path, Path], tmp_path: Path, no_guard: Guard, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, socket = older
    monkeypatch.setattr(postgresql_parts, "WORTH_BYTES", 0)
    entry = copy.deepcopy(connections.settings["default"])
    name = f"live_{secrets.token_hex(4)}"
    entry.update(NAME=name, HOST=str(socket), PORT="", USER="postgres", PASSWORD="", OPTIONS={})
    connections.settings[ALIAS] = entry
    try:
        with server.connect_maintenance(ALIAS) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        with server.connect(ALIAS) as connection:
            connection.execute(AWKWARD)
            connection.execute("CREATE SCHEMA other; SET search_path TO other")
            connection.execute(REWRITTEN)
            major = server.major(connection)
        conf = configuration_of(tmp_path, project_of(name))
        conf = replace(conf, pg_bin=str(tools), backup=replace(conf.backup, jobs=jobs))
        bucket = LocalBucket(tmp_path / "bucket")
        step = Step("restore")

        manifest = backup.create_backup(
            conf, bucket, release="v1", step=(taking := Step("backup")), guard=no_guard
        )
        scratch = backup.scratch_name(conf, "v1")
        backup.restore_into(conf, bucket, manifest, name=scratch, step=step)

        assert (taking.findings, step.findings) == ([], [])
        assert manifest.server_version.split(".")[0] == manifest.client_version == str(major)
        assert len(manifest.parts) == jobs
        statement: Any = "SELECT last_value, is_called FROM tickets"
        with server.connect(ALIAS) as before, server.connect(ALIAS, scratch) as after:
            assert before.execute(statement).fetchall() == after.execute(statement).fetchall()
            rows = "SELECT * FROM person ORDER BY id"
            assert before.execute(rows).fetchall() == after.execute(rows).fetchall()
            assert after.execute("SELECT lo_get(oid) FROM pg_largeobject_metadata").fetchone() == (b"large",)
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


def test_a_pg_dump_whose_archive_could_not_be_restored_here_is_refused(
    tmp_path: Path, no_guard: Guard
) -> None:
    newest = embedded.bin_dir()
    bucket = LocalBucket(tmp_path / "bucket")
    entry = copy.deepcopy(connections.settings["default"])
    with serving(wheel_16()) as socket:
        entry.update(NAME="postgres", HOST=str(socket), PORT="", USER="postgres", PASSWORD="", OPTIONS={})
        connections.settings[ALIAS] = entry
        try:
            conf = replace(configuration_of(tmp_path, "project-older"), pg_bin=str(newest))
            with pytest.raises(Refusal) as dumping:
                backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
            taken = replace(conf, pg_bin=str(wheel_16()))
            manifest = backup.create_backup(taken, bucket, release="v1", step=Step("backup"), guard=no_guard)
            written_by_18 = replace(manifest, client_version="18")
            restoring = []
            for one in (written_by_18, manifest):
                with pytest.raises(Refusal) as refused:
                    backup.restore_into(
                        conf, bucket, one, name=backup.scratch_name(conf, "v1"), step=Step("restore")
                    )
                restoring.append(refused.value.findings)
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]

    assert [finding.id for finding in dumping.value.findings] == ["deploy.B106"]
    assert "postgresql-client-16" in dumping.value.findings[0].hint
    assert dumping.value.exit_code == 2
    # Before anything was read or created, rather than by pg_restore's own complaint.
    assert [finding.id for (finding,) in restoring] == ["deploy.B126", "deploy.D003"]
    assert "postgresql-client-16" in restoring[1][0].hint  # which can't read the other archive
