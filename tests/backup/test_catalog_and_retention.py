"""Whose backups are seen, which stay, and which go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy import backup
from deploy.backup.companions.beside import Beside
from deploy.backup.manifest import Companion, Manifest, Part
from deploy.backup.naming import Identity, is_id, new_id
from deploy.backup.policy import Policy
from deploy.buckets.base import ObjectInfo
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

Guard = Callable[[], None]

ARCHIVE = "archive.dump.zst"


def put(bucket: LocalBucket, identity: Identity, *, days: int, release: str = "v") -> Manifest:
    """A backup of `days` ago, as small as one can be."""
    created = datetime.now(UTC) - timedelta(days=days)
    manifest = Manifest(
        id=new_id(created, release),
        project=identity.project,
        environment=identity.environment,
        database=identity.database,
        engine="postgresql",
        server_version="18.0",
        client_version="18",
        release=release,
        created=created,
        duration_seconds=1.0,
        parts=(Part("archive.dump.zst", 0, 7, 7, "0" * 64, "AAAAAA=="),),
        tables={"public.t": 1},
    )
    info = bucket.put(manifest.object_name(ARCHIVE), b"archive", if_generation=0)
    manifest = replace(manifest, parts=(replace(manifest.parts[0], generation=info.generation),))
    bucket.put(manifest.manifest_name, manifest.to_bytes(), if_generation=0)
    return manifest


@pytest.fixture
def ours(conf: DeployConf, live: str) -> Identity:
    return Identity(conf.project, conf.environment, live)


def names(bucket: LocalBucket) -> set[str]:
    return {info.name for info in bucket.list("")}


def test_only_the_exact_identity_is_seen_and_pruned(
    conf: DeployConf, bucket: LocalBucket, ours: Identity, no_guard: Guard
) -> None:
    mine = [put(bucket, ours, days=days) for days in (3, 1, 2)]
    others = [
        put(bucket, replace(ours, **change), days=9)
        for change in (
            {"database": f"{ours.database}_audit"},
            {"database": ours.database[:-1]},
            {"environment": "test2"},
            {"project": f"{ours.project}-2"},
        )
    ]

    listed = backup.list_backups(conf, bucket)
    plan = backup.plan_prune(conf, listed, Policy(1), set())
    facts = backup.apply_prune(conf, bucket, plan, guard=no_guard, step=Step("prune"))

    assert [manifest.id for manifest in listed] == [mine[1].id, mine[2].id, mine[0].id]
    assert facts == {"deleted": [mine[2].id, mine[0].id], "kept": 1, "freed_bytes": 14}
    assert backup.list_backups(conf, bucket) == [mine[1]]
    left = {name for m in (mine[1], *others) for name in (m.manifest_name, m.object_name(ARCHIVE))}
    assert names(bucket) == left


def test_manifests_of_others_that_are_handed_in_stay(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    foreign = [put(bucket, replace(ours, environment="prod"), days=days) for days in (1, 2, 3)]

    plan = backup.plan_prune(conf, foreign, Policy(1), set())

    assert plan.going == ()
    assert len(plan.decisions) == 3


def test_every_backup_gets_a_reason(conf: DeployConf, bucket: LocalBucket, ours: Identity) -> None:
    made = [put(bucket, ours, days=days) for days in range(5)]

    plan = backup.plan_prune(conf, backup.list_backups(conf, bucket), Policy(2), {made[3].id})

    assert [(decision.id, decision.why, decision.goes) for decision in plan.decisions] == [
        (made[0].id, "the newest; one of the 2 newest", False),
        (made[1].id, "one of the 2 newest", False),
        (made[2].id, "number 3, and no rule keeps it", True),
        (made[3].id, "a release stands on it", False),
        (made[4].id, "number 5, and no rule keeps it", True),
    ]
    assert plan.as_dict()["delete"] == [made[2].id, made[4].id]


@pytest.mark.parametrize("keep", [0, -5])
def test_the_newest_always_stays(conf: DeployConf, bucket: LocalBucket, ours: Identity, keep: int) -> None:
    made = [put(bucket, ours, days=days) for days in range(3)]

    plan = backup.plan_prune(conf, made, Policy(keep), set())

    assert made[0].id not in {decision.id for decision in plan.going}
    assert len(plan.going) == 2


def test_what_changed_since_the_plan_is_not_deleted(
    conf: DeployConf, bucket: LocalBucket, ours: Identity, no_guard: Guard
) -> None:
    made = [put(bucket, ours, days=days) for days in range(2)]
    plan = backup.plan_prune(conf, backup.list_backups(conf, bucket), Policy(1), set())
    bucket.put(made[1].manifest_name, made[1].to_bytes(), if_generation=None)

    facts = backup.apply_prune(conf, bucket, plan, guard=no_guard, step=Step("prune"))

    assert facts["deleted"] == []
    assert {made[1].manifest_name, made[1].object_name(ARCHIVE)} <= names(bucket)


def test_a_prune_that_was_killed_halfway_is_finished_by_the_next(
    conf: DeployConf, bucket: LocalBucket, ours: Identity, no_guard: Guard
) -> None:
    made = [put(bucket, ours, days=days) for days in range(2)]
    plan = backup.plan_prune(conf, backup.list_backups(conf, bucket), Policy(1), set())
    bucket.delete(made[1].manifest_name)

    facts = backup.apply_prune(conf, bucket, plan, guard=no_guard, step=Step("prune"))

    assert facts["deleted"] == [made[1].id]
    assert names(bucket) == {made[0].manifest_name, made[0].object_name(ARCHIVE)}


def test_a_lost_guard_stops_the_prune(conf: DeployConf, bucket: LocalBucket, ours: Identity) -> None:
    for days in range(3):
        put(bucket, ours, days=days)
    plan = backup.plan_prune(conf, backup.list_backups(conf, bucket), Policy(1), set())

    def guard() -> None:
        raise Refusal(exit_code=75)

    with pytest.raises(Refusal):
        backup.apply_prune(conf, bucket, plan, guard=guard, step=Step("prune"))
    assert len(names(bucket)) == 6


def test_an_archive_without_manifest_is_no_backup_and_goes_after_a_day(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    made = put(bucket, ours, days=0)
    bucket.delete(made.manifest_name)

    catalog = backup.scan(conf, bucket)
    fresh: ObjectInfo = catalog.unfinished[0]
    old = replace(fresh, updated=datetime.now(UTC) - timedelta(hours=25))
    plans = [backup.plan_prune(conf, [], Policy(1), set(), unfinished=[one]) for one in (fresh, old)]

    assert catalog.manifests == []
    assert [plan.decisions[0].goes for plan in plans] == [False, True]
    both = backup.plan_prune(conf, [], Policy(1), set(), unfinished=[old, fresh])
    assert [decision.goes for decision in both.decisions] == [False]  # one file of it is young


def test_files_whose_manifest_came_after_the_plan_stay(
    conf: DeployConf, bucket: LocalBucket, ours: Identity, no_guard: Guard
) -> None:
    made = put(bucket, ours, days=0)
    bucket.delete(made.manifest_name)
    unfinished = backup.scan(conf, bucket).unfinished
    later = datetime.now(UTC) + timedelta(hours=25)
    plan = backup.plan_prune(conf, [], Policy(1), set(), unfinished=unfinished, now=later)
    bucket.put(made.manifest_name, made.to_bytes(), if_generation=0)

    facts = backup.apply_prune(conf, bucket, plan, guard=no_guard, step=Step("prune"))

    assert facts["deleted"] == []
    assert names(bucket) == {made.manifest_name, made.object_name(ARCHIVE)}


def test_a_backup_whose_files_were_cleaned_up_while_it_ran_gets_no_manifest(
    conf: DeployConf, bucket: LocalBucket, live: str, no_guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Beside.finish

    def two_days_later(self: Beside) -> tuple[Companion, ...]:
        kept = usual(self)
        unfinished = backup.scan(conf, bucket).unfinished
        later = datetime.now(UTC) + timedelta(days=2)
        plan = backup.plan_prune(conf, [], Policy(1), set(), unfinished=unfinished, now=later)
        assert backup.apply_prune(conf, bucket, plan, guard=no_guard, step=Step("prune"))["deleted"]
        return kept

    monkeypatch.setattr(Beside, "finish", two_days_later)

    with pytest.raises(Refusal) as refused:
        backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)

    assert (refused.value.findings[0].id, refused.value.exit_code) == ("deploy.B114", 1)
    assert names(bucket) == set()


def test_foreign_names_under_the_folder_are_left_alone(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    bucket.put(f"{ours.prefix}README", b"x")
    bucket.put(f"{ours.prefix}2026/deep/manifest.json", b"x")

    catalog = backup.scan(conf, bucket)

    assert (catalog.manifests, catalog.unreadable, catalog.unfinished) == ([], [], [])


@pytest.mark.parametrize("backup_id", ["latest", "nope", "../x", "20261123T131850123Z-v-000000"])
def test_an_absent_backup_is_a_finding(conf: DeployConf, bucket: LocalBucket, backup_id: str) -> None:
    with pytest.raises(Refusal) as refused:
        backup.read_manifest(conf, bucket, backup_id)

    assert refused.value.findings[0].id == "deploy.B001"


def test_another_environments_backup_is_refused_unless_it_is_named(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    made = put(bucket, replace(ours, environment="production"), days=1)

    with pytest.raises(Refusal) as refused:
        backup.read_manifest(conf, bucket, made.id)

    assert refused.value.findings[0].id == "deploy.B011"
    assert refused.value.findings[0].hint.endswith("--from-environment production")
    assert backup.read_manifest(conf, bucket, made.id, environment="production") == made


def test_ids_sort_by_age_and_are_safe_in_names() -> None:
    moment = datetime(2026, 11, 23, 13, 18, 50, 123456, UTC)
    ids = [new_id(moment + timedelta(milliseconds=n), "feature/ü x..y") for n in (0, 1, 1000)]

    assert ids == sorted(ids)
    assert all(is_id(each) for each in ids)
    assert ids[0].startswith("20261123T131850123Z-feature-x-y-")


def test_no_two_databases_share_a_folder(tmp_path: Path) -> None:
    awkward = ["a", "a.b", "a..b", ".a", "a/b", "a~2Fb", "ä", "a b", "..", "A", "a%2F"]

    prefixes = {Identity("p", "e", name).prefix for name in awkward}

    assert len(prefixes) == len(awkward)
    bucket = LocalBucket(tmp_path)
    for prefix in prefixes:
        bucket.put(f"{prefix}x", b"", if_generation=0)  # refuses a name that is not allowed
