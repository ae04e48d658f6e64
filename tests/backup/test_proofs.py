"""How far a backup is proved, and that the manifest says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread

import pytest

from deploy import backup
from deploy.backup.age import look_at_age
from deploy.backup.catalog import reread
from deploy.backup.manifest import Manifest, Proof
from deploy.backup.proofs import grade_of, record
from deploy.backup.scratch import proving_scratch, scratch_prefix
from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

Guard = Callable[[], None]


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


def proof(grade: int, by: str = "me") -> Proof:
    return Proof(grade, datetime.now(UTC), 1.0, by)


def ids(step: Step) -> list[str]:
    return [finding.id for finding in step.findings]


@pytest.mark.parametrize("grade", ["L0", "L1", "L2"])
def test_what_was_proved_stands_in_the_manifest(
    conf: DeployConf,
    bucket: LocalBucket,
    manifest: Manifest,
    databases: Callable[[str], set[str]],
    grade: str,
) -> None:
    step = Step("verify")

    backup.prove(conf, bucket, manifest, grade, step=step)

    (found,) = backup.list_backups(conf, bucket)
    assert (f"L{found.grade}", found.proofs[0].by, step.findings) == (grade, conf.owner, [])
    assert replace(found, proofs=()) == manifest
    recovered = found.proofs[0].rto_seconds
    assert recovered is not None and recovered > 0 if grade == "L2" else recovered is None
    assert databases(conf.scratch_prefix) == set()


@pytest.mark.parametrize("at", [0, 7, -1])
def test_l0_finds_one_flipped_bit_of_any_file(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, at: int
) -> None:
    for part in manifest.files:
        name = manifest.object_name(part.file)
        whole = bytearray(bucket.read(name))
        whole[at] ^= 1
        bucket.put(name, bytes(whole), if_generation=None)
        step = Step("verify")
        with pytest.raises(Refusal) as refused:
            backup.prove(conf, bucket, manifest, "L0", step=step)
        assert refused.value.findings[0].id == "deploy.B004"
        whole[at] ^= 1
        bucket.put(name, bytes(whole), if_generation=None)
    assert not any(one.ok for one in reread(bucket, manifest).proofs)


def test_what_differs_after_the_restore_is_recorded_as_a_failure(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, databases: Callable[[str], set[str]]
) -> None:
    wrong = replace(manifest, tables={**manifest.tables, "public.person": 1})
    bucket.put(manifest.manifest_name, wrong.to_bytes(), if_generation=None)
    step = Step("verify")

    after = backup.prove(conf, bucket, wrong, "L2", step=step)

    assert (ids(step), after.proofs) == (["deploy.B006"], ())
    (failure,) = reread(bucket, manifest).proofs
    assert (failure.grade, failure.ok) == (2, False)
    assert databases(conf.scratch_prefix) == set()


def flip(bucket: LocalBucket, manifest: Manifest) -> None:
    name = manifest.object_name(manifest.parts[0].file)
    whole = bytearray(bucket.read(name))
    whole[len(whole) // 2] ^= 1
    bucket.put(name, bytes(whole), if_generation=None)


def test_a_failed_proof_takes_the_grade_and_the_good_backup_outlives_it(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard
) -> None:
    old, new = (
        backup.create_backup(conf, bucket, release=name, step=Step("backup"), guard=no_guard)
        for name in ("old", "new")
    )
    for one in (old, new):
        backup.prove(conf, bucket, one, "L2", step=Step("verify"))
    flip(bucket, new)

    with pytest.raises(Refusal) as refused:
        backup.prove(conf, bucket, reread(bucket, new), "L1", step=Step("verify"))

    assert refused.value.findings[0].id == "deploy.B004"
    damaged = reread(bucket, new)
    assert (damaged.grade, grade_of(damaged)) == (None, "damaged")
    age = look_at_age(conf, bucket)
    assert (age.newest, [finding.id for finding in age.findings()]) == (reread(bucket, old), ["deploy.B113"])
    plan = backup.plan_prune(conf, backup.list_backups(conf, bucket), backup.Policy(1), set())
    assert [(decision.id, decision.why) for decision in plan.decisions] == [
        (new.id, "damaged; the newest; one of the 1 newest"),
        (old.id, "the newest proved to L2; one of the 1 newest"),
    ]
    # Mended (here: by the same flip), and shown to be so by as much as had failed.
    flip(bucket, new)
    backup.prove(conf, bucket, damaged, "L0", step=Step("verify"))
    assert reread(bucket, new).damage
    backup.prove(conf, bucket, damaged, "L1", step=Step("verify"))
    assert reread(bucket, new).grade == 1


def test_a_failure_that_cannot_be_recorded_is_said_beside_it(
    conf: DeployConf, tmp_path: Path, bucket: LocalBucket, manifest: Manifest
) -> None:
    class Locked(LocalBucket):
        def put(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise BucketError("could not write: HTTP 403")

    flip(bucket, manifest)
    step = Step("verify")

    with pytest.raises(Refusal) as refused:
        backup.prove(conf, Locked(tmp_path / "bucket"), manifest, "L0", step=step)

    assert (refused.value.findings[0].id, ids(step)) == ("deploy.B004", ["deploy.B112"])


def test_what_is_missing_here_is_no_failure_of_the_backup(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(Refusal):
        backup.prove(replace(conf, pg_bin="/nowhere"), bucket, manifest, "L2", step=Step("verify"))

    assert reread(bucket, manifest).proofs == ()


def test_the_last_failure_outlives_the_proofs_after_it(bucket: LocalBucket, manifest: Manifest) -> None:
    manifest = record(bucket, manifest, proof(3), step=Step("verify"))
    manifest = record(bucket, manifest, replace(proof(1), ok=False), step=Step("verify"))
    for number in range(12):
        manifest = record(bucket, manifest, proof(1, str(number)), step=Step("verify"))

    assert reread(bucket, manifest).grade == 1


def test_manifests_from_before_failures_were_recorded_are_read() -> None:
    data = {key: value for key, value in proof(2).as_dict().items() if key != "ok"}

    assert Proof.from_dict(data).ok


def test_two_proofs_of_one_backup_at_once_use_no_common_scratch_database(
    conf: DeployConf,
    bucket: LocalBucket,
    manifest: Manifest,
    query: Callable[..., list[object]],
    databases: Callable[[str], set[str]],
) -> None:
    query(f'CREATE DATABASE "{scratch_prefix(conf)}proof_3"')  # of one that was killed
    with proving_scratch(conf) as (engine, name):
        query(f'CREATE DATABASE "{name}"')
        step = Step("verify")
        backup.prove(conf, bucket, manifest, "L2", step=step)

        assert step.findings == []
        assert databases(scratch_prefix(conf)) == {name}
        assert backup.drop_stale_scratch(conf) == []
        assert engine.exists(name)
    assert databases(scratch_prefix(conf)) == set()


def test_when_all_scratch_databases_of_proofs_are_held_it_says_so(conf: DeployConf, live: str) -> None:
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(proving_scratch(conf))
        with pytest.raises(Refusal) as refused, proving_scratch(conf):
            pass
    assert refused.value.findings[0].id == "deploy.D009"


def test_of_many_at_once_every_proof_is_kept(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest
) -> None:
    begin = Barrier(4)

    def run(number: int) -> None:
        begin.wait()
        record(bucket, manifest, proof(number, f"writer {number}"), step=Step("verify"))

    threads = [Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {one.by for one in reread(bucket, manifest).proofs} == {f"writer {n}" for n in range(4)}


def test_a_manifest_that_changed_otherwise_is_not_written_over(
    bucket: LocalBucket, manifest: Manifest
) -> None:
    other = replace(manifest, tables={"public.person": 1})
    bucket.put(manifest.manifest_name, other.to_bytes(), if_generation=None)

    with pytest.raises(Refusal) as refused:
        record(bucket, manifest, proof(1), step=Step("verify"))

    assert (refused.value.findings[0].id, refused.value.exit_code) == ("deploy.B051", 1)
    assert "tables" in refused.value.findings[0].message
    assert reread(bucket, manifest) == other


def test_a_pruned_backup_does_not_come_back(bucket: LocalBucket, manifest: Manifest) -> None:
    read = reread(bucket, manifest)
    bucket.delete(manifest.manifest_name)
    for known in (manifest, read):
        step = Step("verify")
        after = record(bucket, known, proof(1), step=step)
        assert (ids(step), after.grade) == (["deploy.B050"], 1)
    assert bucket.stat(manifest.manifest_name) is None


def test_a_bucket_that_forbids_overwriting_costs_the_record_only(
    conf: DeployConf, tmp_path: Path, manifest: Manifest
) -> None:
    class Locked(LocalBucket):
        def put(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise BucketError("could not write: HTTP 403 the object is subject to a retention policy")

    step = Step("verify")

    after = backup.prove(conf, Locked(tmp_path / "bucket"), manifest, "L1", step=step)

    assert (step.ok, ids(step), after.grade) == (True, ["deploy.B050"], 1)
    assert "retention policy" in step.findings[0].message


def test_the_last_proofs_of_a_grade_are_kept(bucket: LocalBucket, manifest: Manifest) -> None:
    for number in range(12):
        manifest = record(bucket, manifest, proof(number % 2, str(number)), step=Step("verify"))

    assert [int(one.by) for one in reread(bucket, manifest).proofs] == list(range(2, 12))
