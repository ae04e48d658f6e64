"""kill -9 in the middle: nothing half visible, no manifest before its files, and the next run finishes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from deploy.assets import read_release_manifest
from deploy.assets.content import crc32c
from deploy.buckets.local import LocalBucket

ROOT = Path(__file__).parents[2]

SCRIPT = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    import django
    from django.conf import settings
    sources, bucket = sys.argv[1:]
    settings.configure(
        INSTALLED_APPS=["django.contrib.staticfiles", "deploy"], ROOT_URLCONF="x", STATIC_URL="/static/",
        STATICFILES_DIRS=[sources], SECRET_KEY="k", BASE_DIR=Path(sources).parent,
        STORAGES={"staticfiles": {"BACKEND": "deploy.assets.storage.HashedStaticFilesStorage"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEPLOY={"UPLOAD_THREADS": 4},
    )
    django.setup()
    from deploy import assets, conf
    from deploy.buckets.local import LocalBucket
    from deploy.reporting.report import Step
    bucket = LocalBucket(bucket)
    plan = assets.plan_upload(conf.load(), bucket, release="r1")
    print("sending", flush=True)
    assets.upload(plan, bucket, conf=conf.load(), guard=lambda: time.sleep(0.004), step=Step("static"))
    print("done", flush=True)
""")


def start(sources: Path, bucket: Path, scratch: Path) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(sources), str(bucket)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_at_random_moments_and_run_again(tmp_path: Path) -> None:
    sources, scratch = tmp_path / "sources", tmp_path / "scratch"
    scratch.mkdir()
    sources.mkdir()
    for number in range(120):
        (sources / f"{number}.txt").write_text(f"{number} " * 2000)
    seed = random.randrange(2**32)  # noqa: S311 – when to kill, not a key
    moments = random.Random(seed)  # noqa: S311 – when to kill, not a key
    bucket = LocalBucket(tmp_path / "bucket")
    killed = 0
    for _ in range(4):
        with start(sources, tmp_path / "bucket", scratch) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "sending\n"
            time.sleep(moments.uniform(0.0, 0.08))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        check(bucket, seed)
    with start(sources, tmp_path / "bucket", scratch) as process:
        assert process.wait(timeout=60) == 0
    assert killed > 0
    manifest = read_release_manifest(bucket, "r1")
    assert manifest is not None
    assert len(manifest.files) == 120
    check(bucket, seed)


def check(bucket: LocalBucket, seed: int) -> None:
    """Every object is whole, and a manifest that exists names only objects that do."""
    stored = {info.name: info.crc32c for info in bucket.list()}
    for name, checksum in stored.items():
        assert crc32c(bucket.read(name)) == checksum, f"seed {seed}"
    manifest = read_release_manifest(bucket, "r1")
    if manifest is not None:
        assert all(stored.get(e.name) == e.crc32c for e in manifest.files.values()), f"seed {seed}"


def test_two_processes_at_once(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for number in range(60):
        (sources / f"{number}.txt").write_text(str(number))
    processes = [start(sources, tmp_path / "bucket", tmp_path) for _ in range(2)]
    for process in processes:
        with process:
            assert process.wait(timeout=60) == 0
    check(LocalBucket(tmp_path / "bucket"), 0)
