"""Whole databases of a server, and what is said when there is none."""

from __future__ import annotations

import copy
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from deploy.databases import embedded
from deploy.databases import postgresql as server
from deploy.databases.scratch import SCRATCH_ALIAS, database_alias
from deploy.reporting.findings import Refusal

ALIAS = "databases_test"


@pytest.fixture
def alias() -> Iterator[str]:
    connections.settings[ALIAS] = {**copy.deepcopy(connections.settings["default"]), "NAME": "postgres"}
    yield ALIAS
    connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]


@pytest.fixture
def name() -> Iterator[str]:
    made = f'odd "{secrets.token_hex(4)}; ü%'
    yield made
    with server.connect_maintenance("default") as connection:
        server.drop(connection, made)


def test_a_database_of_any_name_is_created_like_another_and_dropped(alias: str, name: str) -> None:
    with server.connect(alias) as live:
        like = server.locale(live)
    with server.connect_maintenance(alias) as connection:
        server.create(connection, name, like)
        assert server.exists(connection, name)
        assert name in server.names_starting_with(connection, name[:-1])
        with server.connect(alias, name) as new:
            assert server.locale(new) == like
            server.drop(connection, name)  # in use
        assert not server.exists(connection, name)
        server.drop(connection, name)


def test_no_timeout_of_the_server_ends_a_session_of_ours(alias: str, name: str) -> None:
    names = (
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "transaction_timeout",
    )
    with server.connect_maintenance(alias) as connection:
        server.create(connection, name, server.locale(connection))
        for setting in names:
            quoted = name.replace('"', '""')
            connection.execute(f"ALTER DATABASE \"{quoted}\" SET {setting} TO '77s'".encode())

    with server.connect(alias, name) as connection:
        found = [connection.execute("SELECT current_setting(%s)", [key]).fetchone() for key in names]

    assert found == [("0",)] * len(names)


@pytest.mark.parametrize("provider", ["i", "b"])
def test_the_locale_provider_is_kept(alias: str, name: str, provider: str) -> None:
    locale = {"i": "de-DE", "b": "C.UTF-8"}[provider]
    like = {
        "encoding": "UTF8",
        "collate": "C",
        "ctype": "C",
        "provider": provider,
        "locale": locale,
        "rules": None,
    }
    with server.connect_maintenance(alias) as connection:
        try:
            server.create(connection, name, like)
        except Refusal as refusal:
            # A server built without ICU, or older than the provider, says so in a finding.
            since = {"i": 15, "b": 17}[provider]
            assert server.major(connection) < since or "ICU is not supported" in str(refusal)  # noqa: PT017
            assert refusal.findings[0].id == "deploy.D007"  # noqa: PT017
            return
    with server.connect(alias, name) as new:
        made = server.locale(new)
    assert {key: made[key] for key in like} == like
    assert made["version"] == made["actual_version"] is not None


@pytest.fixture
def other_provider() -> Iterator[str]:
    """The alias of a server whose templates have another locale provider than libc."""
    # Not pytest's own folder: as root the server is another user, who can't pass through that.
    with tempfile.TemporaryDirectory(prefix="provider-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        Path(folder).chmod(0o711)
        wheel = embedded._wheel().PostgresServer(data, cleanup_mode=None)
        if wheel.system_user:
            shutil.chown(data, wheel.system_user)
        options = ("--auth=trust", "--encoding=UTF8", "--no-sync", "-U", "postgres", "-D", str(data))
        builtin = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        argv = [str(wheel.bin_path / "initdb"), *options, *builtin]
        subprocess.run(argv, user=wheel.system_user, cwd="/", capture_output=True, check=True)
        socket = embedded.start(data, keep_running=True)
        entry = {**copy.deepcopy(connections.settings["default"]), "NAME": "postgres", "HOST": str(socket)}
        connections.settings[ALIAS] = {**entry, "PORT": "", "USER": "postgres", "PASSWORD": "", "OPTIONS": {}}
        try:
            yield ALIAS
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]
            embedded.stop(data)


@pytest.mark.parametrize("provider", ["c", None])
def test_a_database_with_the_locale_of_libc_keeps_it_on_a_server_of_another(
    other_provider: str, provider: str | None
) -> None:
    like = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": provider}
    with server.connect_maintenance(other_provider) as connection:
        assert server.locale(connection)["provider"] == "b"
        server.create(connection, "like", like)
    with server.connect(other_provider, "like") as new:
        made = server.locale(new)
    assert made == {
        **like,
        "provider": "c",
        "locale": None,
        "rules": None,
        "version": None,  # the locale C has none
        "actual_version": None,
    }


def test_a_provider_that_nobody_knows_is_a_finding(alias: str, name: str) -> None:
    like = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "x"}
    with server.connect_maintenance(alias) as connection:
        with pytest.raises(Refusal, match="unknown provider 'x'"):
            server.create(connection, name, like)
        assert not server.exists(connection, name)


def test_a_lock_on_a_name_holds_until_its_session_ends(alias: str) -> None:
    name = f"locked_{secrets.token_hex(4)}"
    with server.locked(alias, name, doing="holding"):
        assert server.is_locked(alias, name)
        assert not server.is_locked(alias, f"{name}_too")
        with pytest.raises(Refusal) as refused, server.locked(alias, name, doing="restoring into"):
            pass
    assert refused.value.findings[0].id == "deploy.D009"
    assert "restoring into" in refused.value.findings[0].message
    assert not server.is_locked(alias, name)


def test_a_server_that_is_not_there_is_a_finding(alias: str) -> None:
    connections.settings[alias].update(HOST="/nonexistent", PASSWORD="hunter2-secret")

    with pytest.raises(Refusal) as refused:
        server.connect(alias)

    assert refused.value.findings[0].id == "deploy.D004"
    assert "/nonexistent" in refused.value.findings[0].message
    assert "hunter2-secret" not in str(refused.value)


def test_a_server_that_is_too_old_is_a_finding(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "major", lambda _: 13)  # none so old is at hand

    with pytest.raises(Refusal) as refused:
        server.connect(alias)

    assert refused.value.findings[0].id == "deploy.D005"


def test_an_assumed_role_is_assumed(alias: str) -> None:
    connections.settings[alias]["OPTIONS"] = {"assume_role": "pg_monitor", "pool": True}

    with server.connect(alias) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("pg_monitor",)


def test_a_service_names_the_database(
    alias: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("service") / "pg_service.conf"
    file.write_text("[app]\ndbname=postgres\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    connections.settings[alias].update(NAME="", OPTIONS={"service": "app"})

    assert server.database_name(alias) == "postgres"


def test_a_scratch_alias_lasts_for_its_block(django_db_blocker: DjangoDbBlocker) -> None:
    with (
        django_db_blocker.unblock(),  # it is no test database, and nothing is written
        database_alias("default", "postgres") as scratch,
        connections[scratch].cursor() as cursor,
    ):
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == ("postgres",)

    assert SCRATCH_ALIAS not in connections.settings
