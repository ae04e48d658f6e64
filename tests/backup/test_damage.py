"""Damage in the bucket is found, by the restore and by `verify`, before anything is trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy import backup
from deploy.backup.manifest import Manifest, Part
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

Guard = Callable[[], None]
Query = Callable[..., list[Any]]

ARCHIVE = "archive.dump.zst"
PART = Part(ARCHIVE, 1, 7, 7, "0" * 64, "AAAAAA==").as_dict()


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


def flip(archive: bytes) -> bytes:
    return archive[:5000] + bytes([archive[5000] ^ 1]) + archive[5001:]


def truncate(archive: bytes) -> bytes:
    return archive[:-1]


def empty(archive: bytes) -> bytes:
    return b""


def extend(archive: bytes) -> bytes:
    return archive * 2


def recompress(archive: bytes) -> bytes:
    """The same content in other bytes: only the SHA-256 tells."""
    import zstandard

    raw = zstandard.ZstdDecompressor().decompressobj().decompress(archive)
    return zstandard.ZstdCompressor(level=3).compress(raw)


@pytest.mark.parametrize("damage", [flip, truncate, empty, extend, recompress])
def test_a_damaged_archive_is_refused_and_leaves_no_database(
    conf: DeployConf,
    bucket: LocalBucket,
    manifest: Manifest,
    databases: Callable[[str], set[str]],
    damage: Callable[[bytes], bytes],
) -> None:
    # Written anew, so the bucket's own checksum fits: only the backup's can find it.
    bucket.put(
        manifest.object_name(ARCHIVE), damage(bucket.read(manifest.object_name(ARCHIVE))), if_generation=None
    )

    with pytest.raises(Refusal) as verified:
        backup.verify(bucket, manifest, step=Step("verify"))
    with pytest.raises(Refusal) as restored:
        backup.restore_into(conf, bucket, manifest, name=backup.scratch_name(conf, "v1"), step=Step("r"))

    for refusal in (verified.value, restored.value):
        assert [finding.id for finding in refusal.findings] == ["deploy.B004"]
        assert refusal.exit_code == 1
    assert databases(conf.scratch_prefix) == set()


def test_an_archive_that_rotted_in_the_bucket_is_refused(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, tmp_path: Any
) -> None:
    stored = [
        path for path in (tmp_path / "bucket").rglob("*") if path.is_file() and path.stat().st_size > 5000
    ]
    assert len(stored) >= 1
    for path in stored:
        path.chmod(0o600)
        path.write_bytes(flip(path.read_bytes()))

    with pytest.raises(Refusal) as refused:
        backup.verify(bucket, manifest, step=Step("verify"))

    assert refused.value.findings[0].id == "deploy.B004"


def test_an_archive_that_is_gone_is_refused(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest
) -> None:
    bucket.delete(manifest.object_name(ARCHIVE))

    with pytest.raises(Refusal) as refused:
        backup.verify(bucket, manifest, step=Step("verify"))

    assert "not in the bucket" in refused.value.findings[0].message


def test_an_intact_archive_verifies(bucket: LocalBucket, manifest: Manifest) -> None:
    step = Step("verify")

    facts = backup.verify(bucket, manifest, step=step)

    assert facts["raw_bytes"] == manifest.raw_bytes
    assert manifest.files[-1].raw_bytes == step.done == step.total


def test_something_else_that_is_no_dump_is_refused_by_pg_restore(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, databases: Callable[[str], set[str]]
) -> None:
    import hashlib

    import zstandard

    raw = b"not a dump" * 100_000
    archive = zstandard.ZstdCompressor(write_checksum=True).compress(raw)
    bucket.put(manifest.object_name(ARCHIVE), archive, if_generation=None)
    other = replace(
        manifest,
        parts=(
            replace(
                manifest.parts[0],
                raw_bytes=len(raw),
                stored_bytes=len(archive),
                sha256=hashlib.sha256(archive).hexdigest(),
            ),
        ),
    )

    with pytest.raises(Refusal) as refused:
        backup.restore_into(conf, bucket, other, name=backup.scratch_name(conf, "v1"), step=Step("r"))

    assert refused.value.findings[0].id == "deploy.B005"
    assert "magic string" in refused.value.findings[0].message
    assert databases(conf.scratch_prefix) == set()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 1}, "schema"),
        ({"parts": [{**PART, "sha256": "abc"}]}, "sha256"),
        ({"parts": [{**PART, "file": "../other/archive"}]}, "not a file name"),
        ({"parts": [{**PART, "raw_bytes": None}]}, "raw_bytes"),
        ({"parts": []}, "no archive"),
        ({"parts": ["archive"]}, "not JSON objects"),
        ({"proofs": [{"grade": 4}]}, "grade 4"),
        ({"companions": [{"kind": "media"}]}, "part"),
        ({"sequences": {"public.tickets": [1]}}, "sequences"),
        ({"tables": {"t": "many"}}, "whole numbers"),
        ({"created": "2026-11-23T00:00:00"}, "no zone"),
        ({"created": "yesterday"}, "yesterday"),
        ({"database": "another"}, "another"),
        ({"engine": None}, "engine"),
    ],
)
def test_a_damaged_manifest_is_refused_listed_as_such_and_never_pruned(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, change: dict[str, Any], reason: str
) -> None:
    data = {**manifest.as_dict(), **change}
    bucket.put(manifest.manifest_name, json.dumps(data).encode(), if_generation=None)

    with pytest.raises(Refusal) as refused:
        backup.read_manifest(conf, bucket, manifest.id)
    catalog = backup.scan(conf, bucket)
    plan = backup.plan_prune(
        conf,
        catalog.manifests,
        backup.Policy(1),
        set(),
        unfinished=catalog.unfinished,
        unreadable=catalog.unreadable,
    )

    assert refused.value.findings[0].id == "deploy.B002"
    assert reason in refused.value.findings[0].message
    assert [finding.id for finding in catalog.unreadable] == ["deploy.B022"]
    assert [(decision.id, decision.goes) for decision in plan.decisions] == [(manifest.id, False)]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{}"])
def test_a_manifest_that_is_no_manifest_is_refused(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, content: bytes
) -> None:
    bucket.put(manifest.manifest_name, content, if_generation=None)

    with pytest.raises(Refusal) as refused:
        backup.read_manifest(conf, bucket, manifest.id)

    assert refused.value.findings[0].id == "deploy.B002"


def test_a_bucket_that_stores_something_else_is_found_at_once(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = LocalBucket.stat

    def stat(self: LocalBucket, name: str) -> Any:
        info = honest(self, name)
        return replace(info, crc32c="AAAAAA==") if info and name.endswith(".zst") else info

    monkeypatch.setattr(LocalBucket, "stat", stat)

    with pytest.raises(Refusal) as refused:
        backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)

    assert refused.value.findings[0].id == "deploy.B021"
    assert backup.list_backups(conf, bucket) == []
