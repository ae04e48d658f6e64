"""What goes wrong with restores in real life, on a real server, mostly as a role that is no superuser."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from deploy import backup
from deploy.backup import spool
from deploy.backup.engines import postgresql_parts
from deploy.backup.engines.postgresql_load import Loader
from deploy.backup.engines.postgresql_obstacles import superusers_entries
from deploy.backup.manifest import Manifest
from deploy.backup.restore import Saved
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases.client_tools import Tool
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]
Names = Callable[[str], set[str]]
Take = Callable[[], Manifest]


@pytest.fixture
def take(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard) -> Take:
    return lambda: backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


@pytest.fixture
def plain(awkward: str, query: Query) -> Iterator[str]:
    """The deployer is a role that may create databases, and nothing else."""
    role = f"plain_{awkward}"
    query(f"CREATE ROLE {role} LOGIN CREATEDB")
    try:
        yield role
    finally:
        become("postgres")
        with server.connect_maintenance("default") as connection:
            owned = connection.execute(
                "SELECT datname FROM pg_database WHERE datdba = %s::regrole", [role]
            ).fetchall()
            for (name,) in owned:
                server.drop(connection, name)
        query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def become(role: str) -> None:
    connections[ALIAS].close()
    connections.settings[ALIAS]["USER"] = role
    connections[ALIAS].settings_dict["USER"] = role


def restored(conf: DeployConf, bucket: LocalBucket, manifest: Manifest) -> tuple[dict[str, Any], Step]:
    step = Step("restore")
    name = backup.scratch_name(conf, "v1")
    return backup.restore_into(conf, bucket, manifest, name=name, step=step), step


def refused(conf: DeployConf, bucket: LocalBucket, manifest: Manifest) -> tuple[str, str, str, int]:
    with pytest.raises(Refusal) as error:
        restored(conf, bucket, manifest)
    (finding,) = error.value.findings
    return finding.id.removeprefix("deploy."), finding.message, finding.hint, error.value.exit_code


def test_what_only_a_superuser_restores_is_left_out_and_the_rest_is_whole(
    conf: DeployConf, bucket: LocalBucket, take: Take, plain: str, query: Query
) -> None:
    query("COMMENT ON SCHEMA public IS 'ours'")
    query("CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    query("CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION seen()")
    manifest = take()
    _, step = restored(conf, bucket, manifest)
    assert step.findings == []  # a superuser restores all of it
    backup.drop_stale_scratch(conf)

    become(plain)
    facts, step = restored(conf, bucket, manifest)

    assert [(finding.id, finding.level) for finding in step.findings] == [("deploy.B046", "info")]
    assert "EVENT TRIGGER watch" in step.findings[0].message
    assert "COMMENT SCHEMA public" in step.findings[0].message
    assert facts["rows"] == sum(manifest.tables.values())


def test_entries_of_superusers_are_known_by_how_pg_restore_lists_them() -> None:
    listing = [
        ";",
        "; Selected TOC Entries:",
        "2; 3079 16385 EXTENSION - hstore ",  # it has no owner there, nor has what is said of it
        "3401; 0 0 COMMENT - EXTENSION hstore ",
        '3402; 0 0 COMMENT - EXTENSION "uuid-ossp" ',
        "10; 2615 2200 SCHEMA - public postgres",
        "3403; 0 0 COMMENT - SCHEMA public postgres",
        "3404; 0 0 COMMENT public TABLE animal postgres",
        "3; 3079 1 EXTENSION - plpgsql ",
        "3190; 3466 16800 EVENT TRIGGER - watch postgres",
        "3405; 0 0 COMMENT - EVENT TRIGGER watch postgres",
        "3200; 2620 16801 TRIGGER public animal watch postgres",
    ]

    assert list(superusers_entries(listing).values()) == [
        "COMMENT EXTENSION hstore",
        'COMMENT EXTENSION "uuid-ossp"',
        "COMMENT SCHEMA public",
        "EXTENSION plpgsql",
        "EVENT TRIGGER watch",
        "COMMENT EVENT TRIGGER watch",
    ]


def test_an_extension_that_the_server_lacks_is_told_before_anything_is_read(
    conf: DeployConf, bucket: LocalBucket, take: Take, databases: Names
) -> None:
    manifest = take()
    bucket.delete(manifest.object_name(manifest.parts[0].file))  # it is not even looked for
    needs = dataclasses.replace(manifest, extensions={"plpgsql": "1.0", "postgis": "3.5"})

    found, message, hint, code = refused(conf, bucket, needs)

    assert (found, code) == ("B043", 2)
    assert "postgis" in message
    assert "apt-get install postgresql-18-postgis" in hint
    assert databases(conf.scratch_prefix) == set()


def test_an_extension_that_the_role_may_not_create_is_told_before_anything_is_read(
    conf: DeployConf, bucket: LocalBucket, take: Take, plain: str, query: Query, databases: Names
) -> None:
    query("CREATE EXTENSION vector")
    manifest = take()
    assert restored(conf, bucket, manifest)[1].findings == []
    backup.drop_stale_scratch(conf)
    become(plain)

    found, message, hint, code = refused(conf, bucket, manifest)

    assert (found, code) == ("B044", 2)
    assert f"'{plain}' may not create" in message
    assert f'GRANT cloudsqlsuperuser TO "{plain}";' in hint
    assert databases(conf.scratch_prefix) == set()


def test_a_provider_that_refuses_an_extension_after_all_is_quoted(
    conf: DeployConf, bucket: LocalBucket, take: Take, plain: str, query: Query, databases: Names
) -> None:
    query(f"CREATE EXTENSION vector; CREATE ROLE cloudsqlsuperuser; GRANT cloudsqlsuperuser TO {plain}")
    try:
        manifest = take()
        become(plain)
        found, message, _, code = refused(conf, bucket, manifest)
    finally:
        become("postgres")
        query("DROP ROLE cloudsqlsuperuser")

    assert (found, code) == ("B044", 1)
    assert "vector" in message
    assert databases(conf.scratch_prefix) == set()


def test_a_role_that_has_grants_and_is_gone_is_named(
    conf: DeployConf,
    bucket: LocalBucket,
    take: Take,
    awkward: str,
    query: Query,
    no_guard: Guard,
    databases: Names,
) -> None:
    role = f"reader_{awkward}"
    query(f"CREATE ROLE {role}; GRANT SELECT ON animal TO {role}")
    manifest = take()
    query(f"DROP OWNED BY {role}; DROP ROLE {role}")

    with pytest.raises(Refusal) as error:
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))

    (finding,) = error.value.findings
    assert (finding.id, error.value.exit_code) == ("deploy.B045", 1)
    assert f'CREATE ROLE "{role}" NOLOGIN;' in finding.hint
    assert databases(awkward) == {awkward}
    assert restored(conf, bucket, manifest)[1].findings == []  # without grants it comes back


def test_a_disk_that_is_too_small_is_told_before_anything_is_created(
    conf: DeployConf, bucket: LocalBucket, take: Take, databases: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = take()
    usage = shutil.disk_usage("/")
    full = usage._replace(free=manifest.raw_bytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)

    found, message, hint, code = refused(conf, bucket, manifest)

    assert (found, code) == ("B041", 2)
    assert "--list-kept" in hint
    assert "free" in message
    assert databases(conf.scratch_prefix) == set()


@pytest.mark.parametrize("how", ["before", "meanwhile"])
@pytest.mark.parametrize("jobs", [1, 3])
def test_without_room_to_unpack_one_connection_loads_from_the_bucket(
    conf: DeployConf,
    bucket: LocalBucket,
    take: Take,
    plain: str,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    jobs: int,
) -> None:
    if jobs > 1:
        monkeypatch.setattr(postgresql_parts, "WORTH_BYTES", 1)
        conf = dataclasses.replace(conf, backup=dataclasses.replace(conf.backup, jobs=jobs))
        manifest = backup.create_backup(conf, bucket, release="v1", step=Step("b"), guard=lambda: None)
    else:
        manifest = take()
    assert len(manifest.parts) == jobs
    if how == "before":
        monkeypatch.setattr(spool, "free_bytes", lambda: 10)
    else:
        whole = spool.spooled

        @contextmanager
        def full(pieces: Iterable[bytes]) -> Iterator[str]:
            monkeypatch.setattr(spool, "spooled", whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield ""

        monkeypatch.setattr(spool, "spooled", full)

    facts, step = restored(conf, bucket, manifest)

    assert [(finding.id, finding.level) for finding in step.findings] == [("deploy.B040", "warning")]
    assert "TMPDIR=" in step.findings[0].hint
    assert facts["rows"] == sum(manifest.tables.values())
    backup.drop_stale_scratch(conf)
    become(plain)  # the entries to leave out are found at the archive's beginning
    facts, step = restored(conf, bucket, manifest)
    assert facts["rows"] == sum(manifest.tables.values())


def test_several_archives_are_one_database_again(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    databases: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql_parts, "WORTH_BYTES", 1)
    conf = dataclasses.replace(conf, backup=dataclasses.replace(conf.backup, jobs=4))
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("b"), guard=no_guard)
    assert len(manifest.parts) == 4

    facts, step = restored(conf, bucket, manifest)

    assert step.findings == []
    assert facts["rows"] == sum(manifest.tables.values())
    backup.drop_stale_scratch(conf)
    plan = backup.plan_tables(conf, manifest, [*manifest.parts[1].tables], beside="look")
    backup.restore_tables(conf, bucket, manifest, plan, step=Step("restore"))
    damaged = bytearray(bucket.read(name := manifest.object_name(manifest.parts[2].file)))
    damaged[len(damaged) // 2] ^= 1
    bucket.put(name, bytes(damaged))
    assert refused(conf, bucket, manifest)[0] == "B004"
    assert databases(conf.scratch_prefix) == set()


def test_another_version_of_the_collation_is_told(
    conf: DeployConf, bucket: LocalBucket, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = take()
    elsewhere = dataclasses.replace(manifest, locale={**manifest.locale, "version": "2.31"})
    locale = server.locale
    monkeypatch.setattr(server, "locale", lambda connection: {**locale(connection), "version": "2.41"})

    _, step = restored(conf, bucket, elsewhere)

    assert [(finding.id, finding.level) for finding in step.findings] == [("deploy.B047", "warning")]
    assert "2.31" in step.findings[0].message
    assert "2.41" in step.findings[0].message


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ('could not extend file "base/5/1": No space left on device', "B042"),
        ('extension "postgis" is not available', "B043"),
        ('permission denied to create extension "vector"', "B044"),
        ('role "reader" does not exist', "B045"),
        ("Rolle »reader« existiert nicht", "B005"),
    ],
)
def test_the_servers_words_are_understood(
    conf: DeployConf, bucket: LocalBucket, take: Take, reason: str, found: str
) -> None:
    loader = Loader(conf, Tool(Path("/pg_restore"), 18), Saved(bucket, take(), Step("restore")), "scratch")

    assert loader.why(f"could not execute query: ERROR:  {reason}").id == f"deploy.{found}"


def test_a_program_that_is_started_while_others_are_stopped_is_stopped_too(
    conf: DeployConf, bucket: LocalBucket, take: Take
) -> None:
    loader = Loader(conf, Tool(Path("/pg_restore"), 18), Saved(bucket, take(), Step("restore")), "scratch")
    loader.stop()

    with loader._run(["/bin/sleep", "600"]) as program:
        assert program.process.poll() is not None
