"""Out of one Firestore database and into another, on Google's emulator: nothing lost, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.backup.companions import Folder
from deploy.backup.companions.firestore import FirestoreKeeper
from deploy.backup.firestore.connection import Database
from deploy.backup.firestore.reading import count, documents
from deploy.backup.firestore.restore import Wish, plan_restore, restore
from deploy.backup.firestore.values import fields_to_json
from deploy.backup.manifest import Companion, Manifest, Part
from deploy.backup.naming import Identity, new_id
from deploy.buckets.local import LocalBucket
from deploy.conf_backup import FirestoreConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import Put
from .everything import everywhere, types

pytestmark = pytest.mark.needs_firestore

Back = Callable[[Database], Manifest]


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "bucket")


@pytest.fixture
def back_up(bucket: LocalBucket, emulator: str) -> Back:
    def run(database: Database) -> Manifest:
        return manifest_with(bucket, keeper(database, emulator))

    return run


def keeper(database: Database, endpoint: str) -> FirestoreKeeper:
    return FirestoreKeeper(FirestoreConf(database.project, database.name, "", True, endpoint, ""))


def manifest_with(bucket: LocalBucket, keeper: FirestoreKeeper, step: Step | None = None) -> Manifest:
    """As `create_backup` would write it, without a database beside it."""
    created = datetime.now(UTC)
    identity = Identity("project", "test", "app")
    folder = Folder(bucket, identity, new_id(created, "v1"), created, 1, lambda: None)
    companion = keeper.keep(folder, step or Step("backup"))
    return manifest_of(folder, companion)


def manifest_of(folder: Folder, companion: Companion) -> Manifest:
    identity = folder.identity
    return Manifest(
        id=folder.backup_id,
        project=identity.project,
        environment=identity.environment,
        database=identity.database,
        engine="postgresql",
        server_version="18.0",
        client_version="18.0",
        release="v1",
        created=folder.created,
        duration_seconds=0.1,
        parts=(Part("archive.dump.zst", 1, 1, 1, "0" * 64, ""),),
        tables={},
        companions=(companion,),
    )


def contents(client: Any, database: Database) -> dict[str, Any]:
    return {
        document.name.removeprefix(f"{database.documents}/"): fields_to_json(document.fields)
        for document in documents(client, database)
    }


def as_text(tree: Any) -> str:
    """Equal only when every value is, minus zero and the kind of a number included."""
    return json.dumps(tree, sort_keys=True)


def ids(refusal: pytest.ExceptionInfo[Refusal]) -> list[str]:
    return [finding.id for finding in refusal.value.findings]


def test_every_document_is_found_with_every_type(client: Any, source: Database, put: Put) -> None:
    put(source, everywhere(source))
    assert as_text(contents(client, source)) == as_text(everywhere(source))


def test_a_restore_brings_everything_back_and_moves_references_along(
    client: Any,
    source: Database,
    target: Database,
    put: Put,
    back_up: Back,
    bucket: LocalBucket,
    emulator: str,
) -> None:
    put(source, everywhere(source))
    manifest = back_up(source)
    wish = Wish(target, emulator)

    plan = plan_restore(bucket, manifest, wish, step=Step("plan"))
    assert (plan.documents, plan.present, plan.create, plan.references) == (11, 0, 11, "rewritten")
    assert contents(client, target) == {}

    facts = restore(bucket, manifest, wish, step=Step("restore"))
    assert (facts["created"], facts["existing"]) == (11, 0)
    assert as_text(contents(client, target)) == as_text(everywhere(target))

    again = plan_restore(bucket, manifest, wish, step=Step("plan"))
    assert (again.present, again.create) == (11, 0)
    facts = restore(bucket, manifest, wish, step=Step("restore"))
    assert (facts["created"], facts["existing"]) == (0, 11)
    assert as_text(contents(client, target)) == as_text(everywhere(target))


def test_references_can_stay_as_they_are(
    client: Any,
    source: Database,
    target: Database,
    put: Put,
    back_up: Back,
    bucket: LocalBucket,
    emulator: str,
) -> None:
    put(source, {"all/types": types(source)})
    wish = Wish(target, emulator, keep_references=True)
    restore(bucket, back_up(source), wish, step=Step("restore"))
    assert as_text(contents(client, target)) == as_text({"all/types": types(source)})


def test_an_export_shows_the_snapshots_moment(
    client: Any, source: Database, put: Put, bucket: LocalBucket, emulator: str
) -> None:
    put(source, {"a/1": {}, "a/2": {}})
    folder = Folder(
        bucket,
        Identity("project", "test", "app"),
        new_id(datetime.now(UTC), "v1"),
        datetime.now(UTC),
        1,
        lambda: None,
    )
    put(source, {"a/1": {"changed": {"booleanValue": True}}, "a/3": {}})

    step = Step("backup")
    companion = keeper(source, emulator).keep(folder, step)
    assert step.findings == []
    assert (companion.facts["documents"], companion.facts["skew_seconds"]) == (2, 0)
    assert companion.moment == folder.created
    assert Manifest.from_bytes(manifest_of(folder, companion).to_bytes()).companions == (companion,)


def test_refuses_a_target_that_holds_something_else(
    client: Any,
    source: Database,
    target: Database,
    put: Put,
    back_up: Back,
    bucket: LocalBucket,
    emulator: str,
) -> None:
    put(source, {"a/1": {}, "a/2": {}})
    manifest = back_up(source)
    theirs = {"a/1": {"mine": {"booleanValue": True}}, "b/1": {}, "c/1": {}}
    put(target, theirs)

    with pytest.raises(Refusal, match=r"2 of its documents are not in backup .* and 1 are there") as refusal:
        plan_restore(bucket, manifest, Wish(target, emulator), step=Step("plan"))
    assert (ids(refusal), refusal.value.exit_code) == (["deploy.B082"], 1)
    assert contents(client, target) == theirs

    into_nonempty = Wish(target, emulator, into_nonempty=True)
    plan = plan_restore(bucket, manifest, into_nonempty, step=Step("plan"))
    assert (plan.present, plan.create) == (3, 1)
    with pytest.raises(Refusal, match=r"of 2 documents 0 are missing and 1 differ.*a/1") as refusal:
        restore(bucket, manifest, into_nonempty, step=Step("restore"))
    assert (ids(refusal), refusal.value.exit_code) == (["deploy.B083"], 1)
    assert contents(client, target) == {**theirs, "a/2": {}}


def test_what_another_restore_writes_meanwhile_is_not_taken_for_something_else(
    client: Any,
    source: Database,
    target: Database,
    put: Put,
    back_up: Back,
    bucket: LocalBucket,
    emulator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = {f"a/{number}": {} for number in range(9)}
    put(source, documents)
    manifest = back_up(source)
    put(target, {"a/1": {}})

    def count_late(*args: Any) -> int:
        put(target, documents)
        return count(*args)

    monkeypatch.setattr("deploy.backup.firestore.restore.count", count_late)
    plan = plan_restore(bucket, manifest, Wish(target, emulator), step=Step("plan"))
    assert (plan.present, plan.create) == (1, 8)


def test_a_damaged_export_is_found_before_anything_is_written(
    client: Any,
    source: Database,
    target: Database,
    put: Put,
    back_up: Back,
    bucket: LocalBucket,
    emulator: str,
) -> None:
    put(source, {"a/1": {}})
    manifest = back_up(source)
    companion = manifest.companions[0]
    wish = Wish(target, emulator)
    assert companion.part is not None

    other = replace(companion, facts={**companion.facts, "digest": "0" * 64})
    with pytest.raises(Refusal, match="not the manifest's") as refusal:
        plan_restore(bucket, replace(manifest, companions=(other,)), wish, step=Step("plan"))
    assert ids(refusal) == ["deploy.B079"]

    name = manifest.object_name(companion.part.file)
    damaged = bytearray(bucket.read(name))
    damaged[len(damaged) // 2] ^= 1
    bucket.put(name, bytes(damaged))
    with pytest.raises(Refusal) as refusal:
        plan_restore(bucket, manifest, wish, step=Step("plan"))
    assert (ids(refusal), refusal.value.exit_code) == (["deploy.B004"], 1)
    assert contents(client, target) == {}


def test_an_empty_database_is_an_export_too(
    source: Database, target: Database, back_up: Back, bucket: LocalBucket, emulator: str
) -> None:
    manifest = back_up(source)
    wish = Wish(target, emulator)
    assert plan_restore(bucket, manifest, wish, step=Step("plan")).create == 0
    assert restore(bucket, manifest, wish, step=Step("restore"))["created"] == 0


def test_a_backup_without_an_export_says_so(back_up: Back, source: Database, bucket: LocalBucket) -> None:
    bare = replace(back_up(source), companions=())
    with pytest.raises(Refusal) as refusal:
        plan_restore(bucket, bare, Wish(source), step=Step("plan"))
    assert ids(refusal) == ["deploy.B081"]
