"""Putting a backup in the live database's place, and the scratch databases on the way."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db import connections

from deploy import backup
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.databases import swap
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]
Names = Callable[[str], set[str]]


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query) -> Manifest:
    """A backup, after which the live database has got one more animal."""
    made = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    query("INSERT INTO animal VALUES ('late')")
    return made


def animals(query: Query, name: str | None = None) -> list[str]:
    return sorted(row[0] for row in query("SELECT name FROM ONLY animal", name))


def test_the_backup_takes_the_live_name_and_the_live_one_is_kept(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    manifest: Manifest,
    no_guard: Guard,
    query: Query,
    databases: Names,
) -> None:
    query(f"ALTER DATABASE {awkward} SET search_path TO 'Other Schema', public, \"$user\"")
    query(f"ALTER DATABASE {awkward} SET work_mem TO '7MB'")
    step = Step("restore")

    facts = backup.replace_database(conf, bucket, manifest, guard=no_guard, step=step)

    old = facts["kept_as"]
    assert re.fullmatch(awkward + r"_before_\d{8}T\d{6}", old)
    assert (animals(query), animals(query, old)) == (["cat"], ["cat", "late"])
    assert [(finding.id, finding.level) for finding in step.findings] == [("deploy.B017", "info")]
    assert databases(conf.scratch_prefix) == set()
    assert query("SHOW work_mem") == [("7MB",)]
    assert query("SHOW search_path") == query("SHOW search_path", old)
    backup.drop_replaced(conf, old, guard=no_guard)
    backup.drop_replaced(conf, old, guard=no_guard)  # gone already: without effect
    assert databases(awkward) == {awkward}


def test_clients_of_the_live_database_are_ended_however_often_they_come_back(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    manifest: Manifest,
    no_guard: Guard,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = threading.Event()
    changed = threading.Condition()
    came = [0, 0]  # how often each client has been connected
    attempts: list[str] = []

    def client(number: int) -> None:
        while not stop.is_set():
            with suppress(psycopg.Error, Refusal), server.connect(ALIAS) as connection:
                connection.execute("SELECT 1")
                with changed:
                    came[number] += 1
                    changed.notify_all()
                while not stop.wait(0.005):
                    connection.execute("SELECT 1")

    rename = swap._rename

    def everybody_comes_back_and_rename(connection: Any, before: str, after: str) -> None:
        # They have been ended at the beginning of this attempt: no rename before both are there again.
        if before == awkward:
            attempts.append(before)
            with changed:
                assert changed.wait_for(lambda: min(came) > len(attempts), timeout=60)
        rename(connection, before, after)

    monkeypatch.setattr(swap, "_rename", everybody_comes_back_and_rename)
    clients = [threading.Thread(target=client, args=[number]) for number in range(2)]
    for thread in clients:
        thread.start()
    try:
        with changed:
            assert changed.wait_for(lambda: min(came) >= 1, timeout=60)
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    finally:
        stop.set()
        for thread in clients:
            thread.join()

    assert attempts
    assert animals(query) == ["cat"]


def test_a_client_that_may_not_be_ended_stops_the_swap(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    manifest: Manifest,
    no_guard: Guard,
    query: Query,
    databases: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swap, "_ATTEMPTS", 1)
    # The deployer is the databases' owner and no superuser; the client is one, so it can't be ended.
    role = f"owner_{awkward}"
    query(f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {awkward} OWNER TO {role}")
    plan = backup.plan_replace(conf, manifest)
    query(f'CREATE DATABASE "{plan.new}" OWNER {role}')
    connections[ALIAS].close()

    with server.connect(ALIAS):
        connections[ALIAS].settings_dict["USER"] = role
        with pytest.raises(Refusal) as refused:
            swap.swap(ALIAS, live=awkward, new=plan.new, old=plan.old)
        connections[ALIAS].settings_dict["USER"] = "postgres"
    backup.drop_scratch(conf, plan.new)
    query(f"ALTER DATABASE {awkward} OWNER TO postgres; DROP ROLE {role}")

    assert refused.value.findings[0].id == "deploy.D008"
    assert "deploy" in refused.value.findings[0].message
    assert databases(awkward) == {awkward}
    assert databases(conf.scratch_prefix) == set()


def test_a_live_database_that_is_gone_is_replaced_all_the_same(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    manifest: Manifest,
    no_guard: Guard,
    query: Query,
    databases: Names,
) -> None:
    connections[ALIAS].close()
    with server.connect_maintenance(ALIAS) as connection:
        server.drop(connection, awkward)
    plan, step = backup.plan_replace(conf, manifest), Step("restore")

    facts = backup.replace_database(conf, bucket, manifest, guard=no_guard, step=step, plan=plan)

    assert (plan.old, facts["kept_as"], facts["database"]) == ("", "", awkward)
    assert animals(query) == ["cat"]
    assert databases(awkward) == {awkward}
    assert databases(conf.scratch_prefix) == set()


def test_who_may_not_rename_the_live_database_is_told_before_anything_is_read(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, no_guard: Guard, query: Query
) -> None:
    role = f"stranger_{awkward}"
    query(f"CREATE ROLE {role} LOGIN CREATEDB")
    bucket.delete(manifest.object_name(manifest.parts[0].file))  # it is not even looked for
    connections[ALIAS].close()
    connections[ALIAS].settings_dict["USER"] = role
    try:
        with pytest.raises(Refusal) as refused:
            backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    finally:
        connections[ALIAS].settings_dict["USER"] = "postgres"
        query(f"DROP ROLE {role}")

    assert [finding.id for finding in refused.value.findings] == ["deploy.B107"]
    assert "'postgres'" in refused.value.findings[0].message
    assert refused.value.exit_code == 2


def test_what_was_restored_is_kept_when_a_client_can_not_be_ended(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    manifest: Manifest,
    no_guard: Guard,
    query: Query,
    databases: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swap, "_ATTEMPTS", 1)
    role = f"owner_{awkward}"
    query(f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {awkward} OWNER TO {role}")
    connections[ALIAS].close()
    try:
        with server.connect(ALIAS) as client:  # a superuser's
            client.execute("SET application_name TO ''")
            connections[ALIAS].settings_dict["USER"] = role
            with pytest.raises(Refusal) as refused:
                backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
        (old,) = databases(awkward) - {awkward}
        backup.swap_back(conf, backup.plan_swap_back(conf, old), guard=no_guard, step=Step("back"))
    finally:
        connections[ALIAS].close()
        connections[ALIAS].settings_dict["USER"] = "postgres"
        with server.connect_maintenance("default") as connection:
            for name in server.names_starting_with(connection, awkward):
                connection.execute(f'ALTER DATABASE "{name}" OWNER TO postgres')
    names = [str(name) for (name,) in query("SELECT tableowner FROM pg_tables WHERE tablename = 'animal'")]
    query(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")

    assert [finding.id for finding in refused.value.findings] == ["deploy.D008", "deploy.B108"]
    assert "postgres, pid " in refused.value.findings[0].message
    assert "()" not in refused.value.findings[0].message
    assert f"--swap-back {old} --yes-replace {awkward}" in refused.value.findings[1].hint
    assert animals(query) == ["cat"]
    assert names == [role]
    assert databases(conf.scratch_prefix) == set()


def test_tables_keep_their_owners_when_a_superuser_restores_where_all_of_them_are(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    role = f"owner of {awkward}"
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'person'"
    query(f'CREATE ROLE "{role}"; ALTER TABLE person OWNER TO "{role}"')
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)

    kept = Step("restore")
    facts = backup.replace_database(conf, bucket, manifest, guard=no_guard, step=kept)
    found = query(owner)
    query(f'REASSIGN OWNED BY "{role}" TO postgres')
    query(f'REASSIGN OWNED BY "{role}" TO postgres', facts["kept_as"])
    query(f'DROP ROLE "{role}"')
    lost = Step("restore")
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=lost)

    assert found == [(role,)]
    assert [finding.id for finding in kept.findings] == ["deploy.B017"]
    assert query(owner) == [("postgres",)]
    assert [finding.id for finding in lost.findings] == ["deploy.B109", "deploy.B017"]


def test_a_backup_that_does_not_compare_is_not_swapped_in(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    manifest: Manifest,
    no_guard: Guard,
    query: Query,
    databases: Names,
) -> None:
    wrong = replace(manifest, tables={**manifest.tables, "public.dog": 99})

    with pytest.raises(Refusal) as refused:
        backup.replace_database(conf, bucket, wrong, guard=no_guard, step=Step("restore"))

    assert (refused.value.findings[0].id, refused.value.exit_code) == ("deploy.B006", 1)
    assert animals(query) == ["cat", "late"]
    assert databases(conf.scratch_prefix) == set()


def test_a_lost_guard_prevents_the_swap(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, query: Query, databases: Names
) -> None:
    calls: list[None] = []

    def guard() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise Refusal(exit_code=75)

    with pytest.raises(Refusal):
        backup.replace_database(conf, bucket, manifest, guard=guard, step=Step("restore"))

    assert animals(query) == ["cat", "late"]
    assert databases(conf.scratch_prefix) == set()


def test_two_at_once_one_is_told(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, no_guard: Guard
) -> None:
    scratch = backup.scratch_name(conf, "v1")
    for name, act in (
        (awkward, lambda: backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("r"))),
        (scratch, lambda: backup.restore_into(conf, bucket, manifest, name=scratch, step=Step("r"))),
    ):
        with server.locked(ALIAS, name, doing="holding"), pytest.raises(Refusal) as refused:
            act()
        assert refused.value.findings[0].id == "deploy.D009"


@pytest.mark.parametrize("name", ["{live}", "{live}_before_", "{live}_before_20261123", "postgres", "other"])
def test_only_what_a_restore_put_aside_is_dropped(
    conf: DeployConf, live: str, no_guard: Guard, databases: Names, name: str
) -> None:
    with pytest.raises(Refusal) as refused:
        backup.drop_replaced(conf, name.format(live=live), guard=no_guard)

    assert refused.value.findings[0].id in ("deploy.B016", "deploy.B014")
    assert databases(live) == {live}


def test_a_long_name_is_kept_under_a_name_that_fits(conf: DeployConf, live: str, monkeypatch: Any) -> None:
    from deploy.backup.engines import engine_of

    engine = engine_of(conf)
    monkeypatch.setitem(connections[ALIAS].settings_dict, "NAME", "ü" * 31)

    old = engine.replaced_name("20261123T131850")

    assert len(old.encode()) <= 63
    assert engine.is_replaced(old)


def test_restore_beside_needs_a_new_name(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, query: Query
) -> None:
    beside = f"{awkward}_look"

    backup.restore_beside(conf, bucket, manifest, name=beside, step=Step("restore"))

    assert animals(query, beside) == ["cat"]
    for name, found in (
        (beside, "B009"),
        (awkward, "B009"),
        ("x" * 64, "B014"),
        ("", "B014"),
        ("template1", "B014"),
    ):
        with pytest.raises(Refusal) as refused:
            backup.restore_beside(conf, bucket, manifest, name=name, step=Step("restore"))
        assert refused.value.findings[0].id == f"deploy.{found}"
    assert animals(query) == ["cat", "late"]


def test_a_name_that_is_taken_meanwhile_is_not_touched(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, query: Query, databases: Names
) -> None:
    beside = f"{awkward}_look"
    step = Step("restore")

    def take_the_name(*_: object, **__: object) -> None:
        query(f'CREATE DATABASE "{beside}"')
        step.progress = lambda *_, **__: None  # type: ignore[method-assign]  # once

    step.progress = take_the_name  # type: ignore[method-assign]  # in the middle of the stream
    with pytest.raises(Refusal) as refused:
        backup.restore_beside(conf, bucket, manifest, name=beside, step=step)

    assert refused.value.findings[0].id == "deploy.B009"
    assert query("SELECT count(*) FROM pg_class WHERE relname = 'animal'", beside) == [(0,)]
    assert databases(conf.scratch_prefix) == set()


def test_the_settings_of_a_role_in_the_live_database_are_those_of_the_new_one(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, no_guard: Guard, query: Query
) -> None:
    role = f"app {awkward}"
    query(f'CREATE ROLE "{role}"')
    settings = (
        "SELECT setrole::regrole::text, setconfig FROM pg_db_role_setting r"
        " JOIN pg_database d ON d.oid = r.setdatabase WHERE datname = '{}' ORDER BY 1"
    )
    try:
        query(f"ALTER DATABASE {awkward} SET work_mem TO '7MB'")
        query(f"ALTER ROLE \"{role}\" IN DATABASE {awkward} SET search_path TO 'Other Schema', public")
        query(f"ALTER ROLE \"{role}\" IN DATABASE {awkward} SET app.tenant TO 'a=b, c'")
        query(f"ALTER ROLE postgres IN DATABASE {awkward} SET statement_timeout TO '90s'")
        before = query(settings.format(awkward))

        step = Step("restore")
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=step)

        assert len(before) == 3
        assert query(settings.format(awkward)) == before
        assert [finding.id for finding in step.findings] == ["deploy.B017"]
    finally:
        with server.connect_maintenance("default") as connection:
            for name in server.names_starting_with(connection, awkward):
                connection.execute(f'ALTER ROLE "{role}" IN DATABASE "{name}" RESET ALL')
            connection.execute(f'DROP ROLE "{role}"')


def test_settings_that_the_deployer_may_not_set_are_told_and_stop_nothing(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, no_guard: Guard, query: Query
) -> None:
    role = f"owner_{awkward}"
    query(f"CREATE ROLE {role} LOGIN CREATEDB; GRANT pg_signal_backend TO {role}")
    query(f"ALTER DATABASE {awkward} OWNER TO {role}")
    query(f"ALTER DATABASE {awkward} SET log_statement TO 'ddl'")  # a superuser's
    query(f"ALTER DATABASE {awkward} SET work_mem TO '7MB'")
    query(f"ALTER ROLE postgres IN DATABASE {awkward} SET app.key TO 'hunter2'")
    connections[ALIAS].close()
    connections[ALIAS].settings_dict["USER"] = role
    step = Step("restore")
    try:
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=step)
        assert query("SHOW work_mem") == [("7MB",)]
    finally:
        connections[ALIAS].settings_dict["USER"] = "postgres"
        with server.connect_maintenance("default") as connection:
            for name in server.names_starting_with(connection, awkward):
                connection.execute(f'ALTER DATABASE "{name}" OWNER TO postgres')
        query(f"DROP OWNED BY {role}")
        query(f"DROP ROLE {role}")

    assert [(finding.id, finding.level) for finding in step.findings] == [
        ("deploy.B109", "warning"),  # the superuser's tables are the deployer's now
        ("deploy.B024", "warning"),
        ("deploy.B017", "info"),
    ]
    assert f"belonged to postgres belong to '{role}' now" in step.findings[0].message
    assert "log_statement, app.key of the role postgres" in step.findings[1].message
    assert "hunter2" not in str(step.findings)


def test_a_backup_of_another_engine_is_refused(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest
) -> None:
    with pytest.raises(Refusal) as refused:
        backup.plan_replace(conf, replace(manifest, engine="sqlite"))

    assert refused.value.findings[0].id == "deploy.B013"


def test_scratch_names_fit_and_belong_to_one_database(conf: DeployConf, live: str) -> None:
    wide = replace(conf, scratch_prefix="p" * 100)
    names = [
        backup.scratch_name(conf, "v1"),
        backup.scratch_name(conf, "v2"),
        backup.scratch_name(conf, "r" * 100),
        backup.scratch_name(conf, "r" * 99 + "s"),
        backup.scratch_name(replace(conf, environment="other"), "v1"),
        backup.scratch_name(wide, "r" * 100),
    ]

    assert len(set(names)) == len(names)
    assert all(len(name.encode()) <= 63 for name in names)
    assert backup.scratch_name(conf, "v1") == names[0]


def test_only_scratch_databases_of_this_database_are_dropped(
    conf: DeployConf, bucket: LocalBucket, live: str, databases: Names, query: Query
) -> None:
    other = replace(conf, environment="other")
    theirs = backup.scratch_name(other, "v1")
    query(f'CREATE DATABASE "{theirs}"')
    mine = backup.scratch_name(conf, "v1")
    query(f'CREATE DATABASE "{mine}"')

    for name in (theirs, live, conf.scratch_prefix, f"{conf.scratch_prefix}_x", "postgres"):
        with pytest.raises(Refusal) as refused:
            backup.drop_scratch(conf, name)
        assert refused.value.findings[0].id == "deploy.B010"
    with server.connect(ALIAS, mine):  # in use: it goes all the same
        backup.drop_scratch(conf, mine)
    backup.drop_scratch(conf, mine)

    assert databases(conf.scratch_prefix) == {theirs}
    assert backup.drop_stale_scratch(conf) == []
    assert backup.drop_stale_scratch(other) == [theirs]


def test_a_scratch_name_that_is_the_live_one_is_not_dropped(
    conf: DeployConf, live: str, monkeypatch: pytest.MonkeyPatch, databases: Names
) -> None:
    from deploy.backup import scratch

    monkeypatch.setattr(scratch, "scratch_prefix", lambda _: live[:8])

    with pytest.raises(Refusal):
        backup.drop_scratch(conf, live)

    assert databases(live) == {live}


def test_without_createdb_the_finding_says_the_grant(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, awkward: str, query: Query
) -> None:
    role = f"plain_{awkward}"
    query(f"CREATE ROLE {role} LOGIN")
    connections.settings[ALIAS]["USER"] = role
    try:
        with pytest.raises(Refusal) as refused:
            backup.restore_into(
                conf, bucket, manifest, name=backup.scratch_name(conf, "v1"), step=Step("restore")
            )
    finally:
        connections.settings[ALIAS]["USER"] = "postgres"
        query(f"DROP ROLE {role}")

    assert refused.value.findings[0].id == "deploy.D006"
    assert f'ALTER ROLE "{role}" CREATEDB' in refused.value.findings[0].hint


def test_a_locale_that_the_server_lacks_is_a_finding(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, databases: Names
) -> None:
    elsewhere = replace(manifest, locale={**manifest.locale, "collate": "xx_YY", "ctype": "xx_YY"})

    with pytest.raises(Refusal) as refused:
        backup.restore_into(
            conf, bucket, elsewhere, name=backup.scratch_name(conf, "v1"), step=Step("restore")
        )

    assert refused.value.findings[0].id == "deploy.D007"
    assert "xx_YY" in refused.value.findings[0].message
    assert databases(conf.scratch_prefix) == set()


def test_other_roles_can_use_the_database_that_replaced_the_live_one(
    live, conf, bucket, no_guard, query
) -> None:
    role = f"app_{live}"
    query(f"CREATE ROLE {role}")
    try:
        query(
            f'CREATE TABLE t (a int); GRANT SELECT ON t TO {role};ALTER DATABASE "{live}" CONNECTION LIMIT 50'
        )
        query(
            f'REVOKE CONNECT ON DATABASE "{live}" FROM PUBLIC; GRANT CONNECT ON DATABASE "{live}" TO {role}'
        )
        manifest = backup.create_backup(conf, bucket, release="r", step=Step("backup"), guard=no_guard)
        backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
        assert query(f"SELECT has_table_privilege('{role}', 't', 'SELECT')") == [(True,)]
        access = "SELECT datconnlimit, datacl::text FROM pg_database WHERE datname = current_database()"
        limit, entries = query(access)[0]
        assert limit == 50
        assert f"{role}=c/" in entries
        assert "=Tc/" not in entries.replace("CTc/", "")
    finally:
        with server.connect_maintenance("default") as connection:
            for name in server.names_starting_with(connection, live):
                with server.connect("default", name) as one:
                    one.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def test_nothing_is_renamed_when_the_lock_on_it_is_lost(
    conf: DeployConf, awkward: str, query: Query, databases: Names
) -> None:
    from deploy.backup.engines.postgresql import PostgreSQL

    engine = PostgreSQL(conf)
    query(f'CREATE DATABASE "{awkward}_new"')
    before = databases(awkward)
    with engine.locked(awkward, "replacing"):
        pid = engine._locks[awkward].info.backend_pid
        query(f"SELECT pg_terminate_backend({pid}, 60000)")  # as a failover or idle_session_timeout would
        with pytest.raises(Refusal) as swapped:
            engine.swap(new=f"{awkward}_new", old=f"{awkward}_old")
        with pytest.raises(Refusal) as renamed:
            engine.rename(f"{awkward}_new", f"{awkward}_other")

    assert [refused.value.findings[0].id for refused in (swapped, renamed)] == ["deploy.D011"] * 2
    assert databases(awkward) == before
    with engine.locked(awkward, "replacing"):
        engine.rename(f"{awkward}_new", f"{awkward}_other")


def test_what_differs_does_not_get_the_new_name_and_stays_for_a_look(
    conf: DeployConf, bucket: LocalBucket, awkward: str, manifest: Manifest, query: Query, databases: Names
) -> None:
    other = replace(manifest, tables={**manifest.tables, "public.animal": 7})
    step = Step("restore")

    facts = backup.restore_beside(conf, bucket, other, name=f"{awkward}_look", step=step)

    assert [finding.id for finding in step.findings] == ["deploy.B006", "deploy.B110"]
    assert facts["database"] in step.findings[1].message
    assert animals(query, facts["database"]) == ["cat"]
    assert databases(awkward) == {awkward}
    assert backup.drop_stale_scratch(conf) == [facts["database"]]


def test_the_plan_says_how_many_connections_the_swap_ends(conf: DeployConf, manifest: Manifest) -> None:
    with server.connect(ALIAS), server.connect(ALIAS):
        assert backup.plan_replace(conf, manifest).connections == 2
