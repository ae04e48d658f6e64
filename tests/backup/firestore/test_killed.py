"""kill -9 in the middle of an export and of a restore."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from deploy.backup.firestore.connection import Database
from deploy.backup.firestore.restore import Wish, plan_restore, restore
from deploy.backup.naming import new_id
from deploy.buckets.local import LocalBucket
from deploy.reporting.report import Step

from .conftest import Put
from .test_round_trip import contents, keeper, manifest_with

pytestmark = pytest.mark.needs_firestore

# Random bytes, so that the export has many pieces and frames on its way.
DOCUMENTS = {
    f"users/{number:05}": {"noise": {"stringValue": random.Random(number).randbytes(2000).hex()}}  # noqa: S311
    for number in range(3000)
}


def killed_after(lines: int, task: dict[str, Any]) -> bool:
    """Run the subject and kill it after it has said so many lines; False when it was done before."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.backup.firestore.subject", json.dumps(task)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(lines):
            if not process.stdout.readline():
                break
        process.kill()
    return process.returncode == -9


def whole(stored: bytes) -> bool:
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        return reader.read().count(b"\n") == len(DOCUMENTS) + 1


def test_an_export_that_is_killed_leaves_nothing_visible(
    source: Database, put: Put, emulator: str, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    bucket = LocalBucket(tmp_path / "bucket")
    created = datetime.now(UTC)
    task = {
        "do": "export",
        "folder": str(tmp_path / "bucket"),
        "created": created.isoformat(),
        "project": source.project,
        "database": source.name,
        "endpoint": emulator,
    }
    assert killed_after(1, {**task, "id": new_id(created, "v1")})
    assert list(bucket.list()) == []
    for lines in (10, 25, 40):  # on a slow day the process is done before it is killed
        killed_after(lines, {**task, "id": new_id(created, "v1")})
    for info in bucket.list():
        assert whole(bucket.read(info.name))

    assert manifest_with(bucket, keeper(source, emulator)).companions[0].facts["documents"] == 3000


def test_a_restore_that_is_killed_goes_on(
    client: Any, source: Database, target: Database, put: Put, emulator: str, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    bucket = LocalBucket(tmp_path / "bucket")
    manifest = manifest_with(bucket, keeper(source, emulator))
    task = {
        "do": "restore",
        "folder": str(tmp_path / "bucket"),
        "manifest": manifest.as_dict(),
        "project": target.project,
        "database": target.name,
        "endpoint": emulator,
    }
    wish = Wish(target, emulator)
    there = 0
    for lines in (1, 2, 3):
        killed_after(lines, task)
        plan = plan_restore(bucket, manifest, wish, step=Step("plan"))
        assert there <= plan.present <= 3000
        there = plan.present
    assert there > 0

    facts = restore(bucket, manifest, wish, step=Step("restore"))
    assert facts["created"] + facts["existing"] == 3000
    assert contents(client, target) == DOCUMENTS


def test_two_restores_at_once_end_well(
    client: Any, source: Database, target: Database, put: Put, emulator: str, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    manifest = manifest_with(LocalBucket(tmp_path / "bucket"), keeper(source, emulator))
    task = {
        "do": "restore",
        "folder": str(tmp_path / "bucket"),
        "manifest": manifest.as_dict(),
        "project": target.project,
        "database": target.name,
        "endpoint": emulator,
    }
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.backup.firestore.subject", json.dumps(task)],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [process.wait(200) for process in both] == [0, 0]
    assert contents(client, target) == DOCUMENTS
