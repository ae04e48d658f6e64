"""Every call of the bucket fails in every way under `uploadstatic`: a whole release or none."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from pathlib import Path

from django.core.management import call_command
from pytest_django import Settings

from deploy.assets import read_release_manifest
from deploy.assets.content import crc32c
from deploy.buckets.local import LocalBucket
from deploy.testing import BucketFault, FaultyBucket
from deploy.testing.bucket_faults import KINDS

from .conftest import Site


def run(settings: Settings, bucket: LocalBucket, *faults: BucketFault) -> tuple[int, list[str], FaultyBucket]:
    """The exit code of `uploadstatic`, the ids of its findings, and what was asked of the bucket."""
    faulty, out, code = FaultyBucket(bucket, *faults), io.StringIO(), 0
    with faulty.instead_of(settings.DEPLOY["STATIC_BUCKET"]):
        try:
            call_command("uploadstatic", "--release", "r1", "--format", "json", stdout=out)
        except SystemExit as end:
            code = int(end.code or 0)
    steps = json.loads(out.getvalue())["steps"]
    return code, [finding["id"] for step in steps for finding in step["findings"]], faulty


def test_each_call_of_an_upload_fails_in_each_way(site: Site, settings: Settings, tmp_path: Path) -> None:
    settings.DEPLOY = {**settings.DEPLOY, "UPLOAD_THREADS": 1}
    bucket = LocalBucket(tmp_path / "static")
    code, _, seen = run(settings, bucket)
    assert code == 0
    tried = 0
    for method, calls in Counter(call.method for call in seen.calls).items():
        for kind in KINDS[method]:
            for nth in range(1, calls + 1):
                shutil.rmtree(tmp_path / "static")
                fault = BucketFault(kind, method, nth=nth, seconds=0.001, after=1)
                code, ids, faulty = run(settings, bucket, fault)
                told = f"{kind} at call {nth} of {method}: {code} {ids}"
                assert len(faulty.met) == 1, told
                assert "deploy.R001" not in ids, told
                assert (code == 0) is (ids == []), told
                manifest = read_release_manifest(bucket, "r1")
                stored = {info.name: info.crc32c for info in bucket.list()}
                assert all(crc32c(bucket.read(name)) == checksum for name, checksum in stored.items()), told
                if manifest is not None:  # then every file of the release is there
                    entries = manifest.files.values()
                    assert all(stored.get(entry.name) == entry.crc32c for entry in entries), told
                assert code != 0 or manifest is not None, told
                if kind == "duplicate" or kind == "slow":
                    assert code == 0, told
                assert run(settings, bucket)[:2] == (0, []), told
                tried += 1
    assert tried >= 20
