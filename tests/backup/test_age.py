"""How old the newest backup is: for a check, a log, and a scraper."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy import backup
from deploy.backup import catalog
from deploy.backup.age import look_at_age
from deploy.backup.manifest import Manifest, Proof
from deploy.backup.naming import Identity
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf

from .test_catalog_and_retention import put


def proved(bucket: LocalBucket, identity: Identity, *, days: int, grade: int) -> Manifest:
    manifest = put(bucket, identity, days=days)
    manifest = replace(manifest, proofs=(Proof(grade, datetime.now(UTC), 1.0, "me"),))
    bucket.put(manifest.manifest_name, manifest.to_bytes(), if_generation=None)
    return manifest


@pytest.fixture
def ours(conf: DeployConf, live: str) -> Identity:
    return Identity(conf.project, conf.environment, live)


def test_the_newest_counts_and_with_a_grade_the_newest_of_it(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    old = proved(bucket, ours, days=3, grade=2)
    new = proved(bucket, ours, days=0, grade=1)

    newest, graded = look_at_age(conf, bucket), look_at_age(conf, bucket, least_grade="L2")

    assert (newest.newest, newest.ok, newest.findings()) == (new, True, [])
    assert (graded.newest, graded.ok) == (old, False)
    (finding,) = graded.findings("warning")
    assert (finding.id, finding.level) == ("deploy.B052", "warning")
    assert "of grade L2 or more is 3 d 00 h old, and 26 h 00 min is the most" in finding.message
    assert look_at_age(conf, bucket, least_grade="L2", most_seconds=4 * 86400).ok


def test_none_is_too_old(conf: DeployConf, bucket: LocalBucket, ours: Identity) -> None:
    put(bucket, replace(ours, environment="production"), days=0)

    age = look_at_age(conf, bucket)

    assert (age.ok, [finding.id for finding in age.findings()]) == (False, ["deploy.B053"])
    assert json.loads(age.log_line())["severity"] == "ERROR"
    assert "deploy_backup_count{" in age.metrics()
    assert "created_timestamp" not in age.metrics()


def test_one_that_cannot_be_read_does_not_count_and_is_said(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    old, new = put(bucket, ours, days=2), put(bucket, ours, days=0)
    bucket.put(new.manifest_name, b"{}", if_generation=None)

    age = look_at_age(conf, bucket)

    assert (age.newest, age.ok) == (old, False)
    assert [finding.id for finding in age.findings()] == ["deploy.B022", "deploy.B052"]


def test_one_dated_in_the_future_does_not_count_and_is_said(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    put(bucket, ours, days=-2)

    alone = look_at_age(conf, bucket)
    new = put(bucket, ours, days=0)
    after = look_at_age(conf, bucket)

    assert (alone.ok, [finding.id for finding in alone.findings()]) == (False, ["deploy.B116", "deploy.B053"])
    assert "in the future" in alone.findings()[0].message
    assert (after.newest, after.ok) == (new, True)


def test_a_log_line_and_metrics_for_machines(conf: DeployConf, bucket: LocalBucket, ours: Identity) -> None:
    manifest = proved(bucket, ours, days=1, grade=3)
    age = look_at_age(replace(conf, environment=conf.environment), bucket)

    line, text = age.log_line(), age.metrics()

    told = json.loads(line)
    assert "\n" not in line
    assert (told["severity"], told["deploy_backup"]["grade"]) == ("INFO", "L3")
    assert told["deploy_backup"]["age_seconds"] in range(86400, 86460)
    labels = (
        f'project="{ours.project}",environment="{ours.environment}",database="{ours.database}",'
        'least_grade="none"'
    )
    moment = round(manifest.created.timestamp())
    assert f"deploy_backup_created_timestamp_seconds{{{labels}}} {moment}\n" in text
    assert f"deploy_backup_grade{{{labels}}} 3\n" in text
    assert text.endswith("# EOF\n")


def test_the_newest_is_found_without_reading_the_others(
    conf: DeployConf, bucket: LocalBucket, ours: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [put(bucket, ours, days=days) for days in range(20)]
    read: list[str] = []
    usual = catalog._read

    def watched(*arguments: Any) -> Manifest:
        read.append(arguments[2])
        return usual(*arguments)

    monkeypatch.setattr(catalog, "_read", watched)

    assert look_at_age(conf, bucket).newest == made[0]
    assert backup.read_manifest(conf, bucket, "latest") == made[0]
    assert read == [made[0].id] * 2
    assert [manifest.id for manifest in backup.list_backups(conf, bucket)] == [one.id for one in made]


def test_the_time_of_an_id_names_it_where_only_one_has_it(
    conf: DeployConf, bucket: LocalBucket, ours: Identity
) -> None:
    made = put(bucket, ours, days=1)

    assert backup.read_manifest(conf, bucket, made.id.partition("-")[0]) == made
