"""A backup of awkward data comes back the same, and what differs is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy import backup
from deploy.backup.engines import postgresql_dump
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

Guard = Callable[[], None]
Query = Callable[..., list[Any]]

ARCHIVE = "archive.dump.zst"


def take(conf: DeployConf, bucket: LocalBucket, guard: Guard, release: str = "v1") -> Manifest:
    return backup.create_backup(
        conf, bucket, release=release, commit="0123abc", step=Step("backup"), guard=guard
    )


def test_everything_awkward_comes_back_the_same(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    manifest = take(conf, bucket, no_guard)
    scratch = backup.scratch_name(conf, "v1")
    step = Step("restore")

    facts = backup.restore_into(conf, bucket, manifest, name=scratch, step=step)

    assert step.findings == []
    assert facts["rows"] == sum(manifest.tables.values())
    assert facts["digested_tables"] == len(manifest.tables)
    for statement in (
        "SELECT * FROM person ORDER BY id",
        'SELECT * FROM "order" ORDER BY id',
        "SELECT * FROM event ORDER BY at",
        "SELECT tableoid::regclass::text, * FROM animal ORDER BY 1, 2",
        "SELECT last_value, is_called FROM tickets",
        "SELECT * FROM totals",
        "SELECT twice(21)",
        "SELECT lo_get(oid) FROM pg_largeobject_metadata",
        "SELECT datcollate, encoding FROM pg_database WHERE datname = current_database()",
    ):
        assert query(statement, scratch) == query(statement), statement


def test_the_manifest_describes_what_was_in_the_snapshot(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard
) -> None:
    manifest = take(conf, bucket, no_guard)

    assert manifest.tables == {
        "Other Schema.empty": 0,
        "public.animal": 1,
        "public.django_migrations": 3,
        "public.dog": 2,
        "public.event_2025": 72,
        "public.event_2026": 28,
        "public.guarded": 0,
        "public.order": 200,
        "public.person": 502,
    }
    assert manifest.migrations == {"shop": ["0001_initial", "0002_more"], "blog": ["0001_initial"]}
    assert manifest.objects == {
        "indexes": 3,
        "constraints": 3,
        "triggers": 0,
        "sequences": 3,
        "views": 2,
        "functions": 6,  # five of them are the constructors of the range and its multirange
        "policies": 1,
        "rules": 1,
        "types": 4,
        "large objects": 1,
    }
    assert manifest.sequences == {
        "public.guarded_id_seq": [1, 1],
        "public.person_id_seq": [503, 503],
        "public.tickets": [1014, 1014],
    }
    assert manifest.engine == "postgresql"
    assert manifest.extensions.keys() == {"plpgsql"}
    assert manifest.locale["encoding"] == "UTF8"
    assert manifest.locale["version"] == manifest.locale["actual_version"]
    assert (manifest.release, manifest.commit) == ("v1", "0123abc")
    assert backup.read_manifest(conf, bucket, manifest.id) == manifest
    assert backup.read_manifest(conf, bucket, "latest") == manifest
    info = bucket.stat(manifest.object_name(ARCHIVE))
    assert info is not None
    assert (info.size_bytes, info.crc32c, info.generation) == (
        manifest.parts[0].stored_bytes,
        manifest.parts[0].crc32c,
        manifest.parts[0].generation,
    )


def test_the_digest_knows_no_order_and_no_session_setting(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    before = take(conf, bucket, no_guard)
    query(
        "CREATE TABLE copy AS SELECT * FROM dog;"
        "UPDATE person SET name = name; CLUSTER person USING person_name"
    )
    query(f"ALTER DATABASE \"{awkward}\" SET timezone = 'Asia/Tokyo'")
    query(f"ALTER DATABASE \"{awkward}\" SET datestyle = 'German'")
    after = take(conf, bucket, no_guard)

    assert {**after.digests, "public.copy": ""} == {**before.digests, "public.copy": ""}


def test_rows_that_arrive_meanwhile_are_in_neither_the_dump_nor_the_counts(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_tool = postgresql_dump.find_tool

    def insert_and_find(*args: Any, **kwargs: Any) -> Any:  # after the snapshot, before pg_dump starts
        query("INSERT INTO animal VALUES ('late')")
        return find_tool(*args, **kwargs)

    monkeypatch.setattr(postgresql_dump, "find_tool", insert_and_find)
    manifest = take(conf, bucket, no_guard)
    monkeypatch.undo()
    step = Step("restore")
    backup.restore_into(conf, bucket, manifest, name=backup.scratch_name(conf, "v1"), step=step)

    assert len(query("SELECT name FROM ONLY animal")) == 2
    assert manifest.tables["public.animal"] == 1
    assert step.findings == []


def test_what_a_failed_concurrent_index_leaves_behind_is_in_neither_the_dump_nor_the_counts(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query, psycopg_error: Any
) -> None:
    query("CREATE INDEX only_parent ON ONLY event (what)")  # invalid as well, but dumped
    with pytest.raises(psycopg_error, match="could not create unique index"):
        query("CREATE UNIQUE INDEX CONCURRENTLY dog_name ON dog (name)")
    assert query("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(2,)]
    step = Step("restore")

    manifest = take(conf, bucket, no_guard)
    name = backup.scratch_name(conf, "v1")
    backup.restore_into(conf, bucket, manifest, name=name, step=step)

    assert step.findings == []
    indexes = "SELECT count(*) FROM pg_class WHERE relname IN ('only_parent', 'dog_name')"
    assert (query(indexes), query(indexes, name)) == ([(2,)], [(1,)])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"tables": {"public.dog": 3}}, "deploy.B006"),
        ({"tables": {"public.gone": 1}}, "deploy.B006"),
        ({"digests": {"public.dog": "1"}}, "deploy.B007"),
        ({"objects": {"indexes": 4}}, "deploy.B008"),
        ({"objects": {"policies": 2}}, "deploy.B008"),
        ({"objects": {"rules": 0}}, "deploy.B008"),
        ({"objects": {"types": 5}}, "deploy.B008"),
        ({"sequences": {"public.tickets": [1007, 1007]}}, "deploy.B025"),
        ({"sequences": {"public.guarded_id_seq": [2, 9]}}, "deploy.B025"),
        ({"sequences": {"public.gone": [1, 1]}}, "deploy.B025"),
    ],
)
def test_a_difference_from_the_manifest_is_a_finding(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    change: dict[str, dict[str, Any]],
    found: str,
) -> None:
    manifest = take(conf, bucket, no_guard)
    changed = replace(
        manifest, **{name: {**getattr(manifest, name), **values} for name, values in change.items()}
    )
    step = Step("restore")

    backup.restore_into(conf, bucket, changed, name=backup.scratch_name(conf, "v1"), step=step)

    assert [finding.id for finding in step.findings] == [found]
    assert not step.ok


def test_a_lost_guard_leaves_nothing_visible(conf: DeployConf, bucket: LocalBucket, awkward: str) -> None:
    for survives in range(3):
        left = [survives]

        def guard(left: list[int] = left) -> None:
            if left[0] == 0:
                raise Refusal(exit_code=75)
            left[0] -= 1

        with pytest.raises(Refusal):
            take(conf, bucket, guard)
        assert backup.list_backups(conf, bucket) == []
        archives = [info.name for info in bucket.list("backups/")]
        assert len(archives) == (1 if survives == 2 else 0)


def test_grants_that_a_backup_does_not_hold_are_told(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    query("GRANT SELECT ON person, dog TO PUBLIC")
    step = Step("backup")

    backup.create_backup(conf, bucket, release="v1", step=step, guard=no_guard)

    assert [(finding.id, finding.message[:9]) for finding in step.findings] == [("deploy.B020", "2 objects")]


def test_a_dump_that_fails_leaves_nothing_and_says_why(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query
) -> None:
    from django.db import connections

    from .conftest import ALIAS, archives

    role = f"reader_{awkward}"
    query(f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role}; REVOKE pg_read_all_data FROM {role}")
    connections.settings[ALIAS]["USER"] = role
    try:
        with pytest.raises(Refusal) as refused:
            take(conf, bucket, no_guard)
    finally:
        connections.settings[ALIAS]["USER"] = "postgres"
        query(f"DROP ROLE {role}")

    assert refused.value.exit_code == 1
    assert refused.value.findings[0].id == "deploy.B003"
    assert "permission denied" in refused.value.findings[0].message
    assert archives(bucket) == []


def test_the_manifest_is_json_that_a_person_can_read(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard
) -> None:
    manifest = take(conf, bucket, no_guard)

    data = json.loads(bucket.read(manifest.manifest_name))

    assert data["schema"] == 2
    assert data["release"] == "v1"
    assert [part["file"] for part in data["parts"]] == [ARCHIVE]
    assert Manifest.from_dict(data) == manifest


def test_a_sequence_that_goes_on_during_the_dump_is_no_difference(
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query("CREATE SEQUENCE down INCREMENT -1 MINVALUE -100 MAXVALUE -1")
    running = postgresql_dump.running

    def advance_and_run(*args: Any, **kwargs: Any) -> Any:  # after the first reading, before pg_dump's
        query("SELECT nextval('tickets'), nextval('down'), nextval('down')")
        return running(*args, **kwargs)

    monkeypatch.setattr(postgresql_dump, "running", advance_and_run)
    manifest = take(conf, bucket, no_guard)
    monkeypatch.undo()
    step = Step("restore")
    scratch = backup.scratch_name(conf, "v1")
    backup.restore_into(conf, bucket, manifest, name=scratch, step=step)

    assert manifest.sequences["public.tickets"] == [1014, 1021]
    assert manifest.sequences["public.down"] == [-3, -1]
    assert query("SELECT nextval('tickets')", scratch) == [(1021,)]
    assert step.findings == []
