"""Files of a backup that rot in the bucket: found, told, and no other backup is hidden by them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import backup
from deploy.backup.manifest import Manifest
from deploy.backup.naming import MANIFEST
from deploy.buckets.base import ObjectCorrupt, PreconditionFailed
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

Guard = Callable[[], None]

SEED = 4711


@pytest.fixture
def manifests(
    conf: DeployConf, bucket: LocalBucket, live: str, query: Callable[..., object], no_guard: Guard
) -> list[Manifest]:
    """Two backups, the older first."""
    query("CREATE TABLE t (a int, b text)")
    query("INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 500) AS n")
    return [
        backup.create_backup(conf, bucket, release=release, step=Step("backup"), guard=no_guard)
        for release in ("older", "newer")
    ]


def test_every_flip_and_truncation_of_a_manifest_is_found(manifests: list[Manifest]) -> None:
    """By itself, without the store's checksum: a manifest says the SHA-256 of what it says."""
    chance = random.Random(SEED)  # noqa: S311 – where to flip
    whole = manifests[0].to_bytes()
    assert Manifest.from_bytes(whole) == manifests[0]
    for _ in range(200):
        byte, bit = chance.randrange(len(whole)), chance.randrange(8)
        damaged = whole[:byte] + bytes([whole[byte] ^ 1 << bit]) + whole[byte + 1 :]
        try:
            read = Manifest.from_bytes(damaged)
        except ValueError:
            continue
        assert read == manifests[0]  # 1e-05 and 1E-05
    for _ in range(50):
        with pytest.raises(ValueError):
            Manifest.from_bytes(whole[: chance.randrange(len(whole) - 1)])


def test_what_a_person_has_laid_out_anew_is_the_same_manifest(manifests: list[Manifest]) -> None:
    said = json.loads(manifests[0].to_bytes())
    assert Manifest.from_bytes(json.dumps(said).encode()) == manifests[0]
    said["tables"] = dict.fromkeys(said["tables"], 1)
    with pytest.raises(ValueError, match="changed since it was written"):
        Manifest.from_bytes(json.dumps(said).encode())


def _flip(path: Path, share: float) -> None:
    body = bytearray(path.read_bytes())
    body[int(share * (len(body) - 1))] ^= 1
    path.write_bytes(body)


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * (path.stat().st_size - 1))])


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.9, 0.97, 0.99, 1])
@pytest.mark.parametrize("damage", [_flip, _cut])
def test_a_file_that_rots_is_told_and_hides_nothing(
    conf: DeployConf,
    bucket: LocalBucket,
    manifests: list[Manifest],
    tmp_path: Path,
    no_guard: Guard,
    damage: Callable[[Path, float], None],
    share: float,
) -> None:
    older, newer = manifests
    files = [*(part.file for part in newer.files), MANIFEST]
    for file in files:
        (stored,) = (tmp_path / "bucket").glob(f"{newer.object_name(file)}*")
        kept = stored.read_bytes()
        damage(stored, share)

        found = backup.scan(conf, bucket)
        assert older.id in {manifest.id for manifest in found.manifests}
        if file == MANIFEST:
            assert [manifest.id for manifest in found.manifests] == [older.id]
            assert [finding.id for finding in found.unreadable] == ["deploy.B022"]
            with pytest.raises(Refusal) as refused:
                backup.read_manifest(conf, bucket, newer.id)
            assert refused.value.findings[-1].id == "deploy.B002"
            with pytest.raises(Refusal) as refused:
                backup.read_manifest(conf, bucket, "latest")
            assert refused.value.findings[-1].id == "deploy.B095"
        else:
            assert found.unreadable == []
            with pytest.raises(ObjectCorrupt):
                bucket.read(newer.object_name(file))
        backup.verify(bucket, older, step=Step("verify"))
        stored.write_bytes(kept)
    assert len(backup.scan(conf, bucket).manifests) == 2


def test_a_file_without_its_properties_is_deleted_when_asked_to(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path / "bucket")
    for name in ("a", "b", "c"):
        bucket.put(name, b"body")
    (stored,) = (tmp_path / "bucket").glob("b*")
    stored.write_bytes(b"")
    listed = {info.name: info for info in bucket.list()}
    assert list(listed) == ["a", "b", "c"]
    assert (listed["b"].generation, listed["b"].crc32c) == (0, "")
    with pytest.raises(ObjectCorrupt):
        bucket.stat("b")
    with pytest.raises(PreconditionFailed):
        bucket.delete("b", if_generation=7)
    bucket.delete("b")
    assert [info.name for info in bucket.list()] == ["a", "c"]
    assert bucket.put("b", b"again", if_generation=0).generation > 0
