"""How far a backup is proved, and that the manifest says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread

import pytest

from deploy import backup
from deploy.backup.catalog import reread
from deploy.backup.manifest import Manifest, Proof
from deploy.backup.proofs import record
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
    assert reread(bucket, manifest).proofs == ()


def test_what_differs_after_the_restore_is_no_proof(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest
) -> None:
    wrong = replace(manifest, tables={**manifest.tables, "public.person": 1})
    step = Step("verify")

    after = backup.prove(conf, bucket, wrong, "L2", step=step)

    assert (ids(step), after.proofs) == (["deploy.B006"], ())
    assert reread(bucket, manifest).proofs == ()


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
