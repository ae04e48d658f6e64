"""One process holds the lock, others join it: real processes, both kinds of bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deploy.buckets.base import Bucket, BucketError
from deploy.buckets.gcs import GCSBucket
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases.history import TAKEOVER
from deploy.releases.identity import Identity
from deploy.releases.joined import JoinedLock
from deploy.releases.ledger import Ledger, open_ledger
from deploy.releases.lock import DeployLock, lock_name, read_lock
from deploy.releases.session import Session
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report
from deploy.testing.gcs_server import GCSServer

ROOT = Path(__file__).resolve().parent.parent.parent
TTL = 4.0


@dataclass
class Place:
    """A bucket with its project's settings, and the commands of `releases` run in processes of their own."""

    folder: Path
    url: str
    environment: dict[str, str]
    bucket: Bucket

    def start(self, *arguments: str, token: str = "") -> subprocess.Popen[str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
        return subprocess.Popen(
            [sys.executable, "-m", "django", *arguments],
            cwd=self.folder,
            env={
                **kept,
                **self.environment,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder}",
                "DJANGO_SETTINGS_MODULE": "held",
                **({"DEPLOY_LOCK_TOKEN": token} if token else {}),
            },
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @contextmanager
    def holder(self, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        with self.start("releases", "hold", "--command", "rollout", "--release", "r1", *more) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                said = json.loads(line)
                assert (said["release"], said["ttl_seconds"]) == ("r1", TTL)
                yield process, said["token"]
            finally:
                process.kill()


@pytest.fixture(params=["local", "gcs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    server = GCSServer("ledger") if request.param == "gcs" else None
    url = "gs://ledger/shop" if server else f"file://{tmp_path}/bucket"
    deploy = {
        "PROJECT": "optifit",
        "ENVIRONMENT": "test",
        "BUCKET": url,
        "STATIC_BUCKET": f"file://{tmp_path}/static",
        "LOCK_TTL_SECONDS": TTL,
    }
    (tmp_path / "held.py").write_text(
        "SECRET_KEY = 'x' * 60\nINSTALLED_APPS = ['deploy']\nUSE_TZ = True\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"
        f"DEPLOY = {deploy!r}\n"
    )
    if server is None:
        yield Place(tmp_path, url, {}, LocalBucket(tmp_path / "bucket"))
        return
    with server:
        bucket = GCSBucket("ledger", "shop", client=server.client())
        yield Place(tmp_path, url, dict(server.environment), bucket)
        bucket.close()


@pytest.fixture
def here(place: Place, conf: DeployConf) -> tuple[DeployConf, Bucket]:
    """The same place seen from this process."""
    return replace(conf, bucket=place.url, lock_ttl_seconds=TTL), place.bucket


def _refused(act: Callable[[], object]) -> tuple[list[str], int]:
    with pytest.raises(Refusal) as refused:
        act()
    return [finding.id for finding in refused.value.findings], refused.value.exit_code


def _within(seconds: float, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_refused(joined: JoinedLock) -> bool:
    try:
        joined.guard()
    except Refusal as refusal:
        return [finding.id for finding in refusal.findings] == ["deploy.L002"]
    return False


def test_others_join_the_lock_of_a_holder_until_it_gives_it_back(
    place: Place, here: tuple[DeployConf, Bucket]
) -> None:
    conf, bucket = here
    with place.holder() as (holder, token):
        assert _refused(DeployLock(conf, bucket, command="predeploy", release="r2").__enter__) == (
            ["deploy.L001"],
            75,
        )
        joined = JoinedLock(conf, bucket, token=token)
        assert joined.join().command == "rollout"
        began = time.monotonic()
        while time.monotonic() < began + 1.2 * TTL:  # beyond the first heartbeat's time to live
            joined.guard()
            time.sleep(0.1)
        # A command that joins writes to the ledger under it, and leaves the lock where it is.
        other = place.start("releases", "lock", "--format", "json", token=token)
        shown = json.loads(other.communicate(timeout=60)[0])["steps"][0]["facts"]
        assert shown["command"] == "rollout"
        assert shown["release"] == "r1"
        out, err = holder.communicate("release\n", timeout=60)
        assert (holder.returncode, out) == (0, ""), err
    assert read_lock(conf, bucket) is None
    assert _refused(JoinedLock(conf, bucket, token=token).join) == (["deploy.L063"], 75)


def test_when_the_holder_is_killed_joiners_stop_before_anybody_else_has_the_lock(
    place: Place, here: tuple[DeployConf, Bucket]
) -> None:
    conf, bucket = here
    with place.holder() as (holder, token):
        joined = JoinedLock(conf, bucket, token=token)
        joined.join()
        holder.kill()
        holder.wait()

        def write_on() -> None:
            while not _is_refused(joined):
                time.sleep(0.02)

        writer = threading.Thread(target=write_on)
        writer.start()
        ledger = open_ledger(conf, bucket)
        session = Session(conf, bucket, bucket, ledger, Identity("r2", ""))
        with session.locked(Report("predeploy"), "predeploy", wait_seconds=60):
            assert _is_refused(joined)
        writer.join()
    assert [header.kind for header in ledger.headers()] == [TAKEOVER]


def test_a_holder_whose_rollout_was_killed_leaves_the_lock_to_expire(
    place: Place, here: tuple[DeployConf, Bucket]
) -> None:
    conf, bucket = here
    with place.holder("--format", "json") as (holder, token):
        joined = JoinedLock(conf, bucket, token=token)
        joined.join()
        out, err = holder.communicate(timeout=60)  # closes its standard input
        assert (holder.returncode, out) == (0, "")
        findings = [f["id"] for step in json.loads(err)["steps"] for f in step["findings"]]
        assert findings == ["deploy.L066"]
        state = read_lock(conf, bucket)
        assert state is not None
        assert state.token == token
        _within(60, lambda: _is_refused(joined))
        _within(60, lambda: _refused(JoinedLock(conf, bucket, token=token).join) == (["deploy.L064"], 75))


def test_a_holder_that_lost_the_lock_ends_with_75(place: Place, here: tuple[DeployConf, Bucket]) -> None:
    conf, bucket = here
    with place.holder() as (holder, token):
        joined = JoinedLock(conf, bucket, token=token)
        joined.join()
        bucket.put(lock_name(conf), b'{"owner": "bob@ci:2", "token": "other", "ttl_seconds": 600}')
        _within(60, lambda: _is_refused(joined))
        assert holder.wait(60) == 75
        assert holder.stderr
        assert "deploy.L002" in holder.stderr.read()
    refused = _refused(JoinedLock(conf, bucket, token=token).join)
    assert refused == (["deploy.L063"], 75)


def test_a_second_holder_is_refused_on_standard_error(place: Place) -> None:
    with place.holder():
        second = place.start("releases", "hold", "--command", "rollout", "--release", "r2")
        out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (75, "")
        assert "deploy.L001" in err


@pytest.mark.parametrize("command", ["predeploy", "postdeploy", "rollback"])
def test_a_command_with_a_wrong_token_takes_no_lock_and_changes_nothing(tmp_path: Path, command: str) -> None:
    (tmp_path / "held.py").write_text(
        "SECRET_KEY = 'x' * 60\nINSTALLED_APPS = ['deploy']\nUSE_TZ = True\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"
        f"DEPLOY = {{'BUCKET': 'file://{tmp_path}/bucket', 'STATIC_BUCKET': 'file://{tmp_path}/static'}}\n"
    )
    place = Place(tmp_path, f"file://{tmp_path}/bucket", {"RELEASE": "r1"}, LocalBucket(tmp_path / "bucket"))
    run = place.start(command, "--format", "json", token="wrong")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 75, err
    assert json.loads(out)["steps"][0]["findings"][0]["id"] == "deploy.L063"
    assert list(LocalBucket(tmp_path / "bucket").list()) == []


def test_a_joiner_whose_looks_fail_goes_on_only_as_long_as_its_proof(
    conf: DeployConf, bucket: LocalBucket, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(conf, lock_ttl_seconds=2.0)
    with DeployLock(short, bucket, command="rollout", release="r1") as held:
        joining = replace(short, lock_token=held.token)
        session = Session(joining, bucket, bucket, ledger, Identity("r1", ""))
        with session.locked(Report("predeploy"), "predeploy") as guard:
            guard()

            def cut_off(*_: object, **__: object) -> None:
                raise BucketError("connection reset")

            monkeypatch.setattr(bucket, "stat", cut_off)
            guard()
            _within(30, lambda: _guard_refuses(guard))
            monkeypatch.undo()
            assert _guard_refuses(guard)  # what was lost stays lost
        state = read_lock(short, bucket)
        assert state is not None
        assert state.token == held.token


def _guard_refuses(guard: Callable[[], None]) -> bool:
    try:
        guard()
    except Refusal as refusal:
        return refusal.exit_code == 75
    return False


@pytest.mark.parametrize("command", ["", "two words", "x" * 101, "rollout\n"])
def test_a_holder_is_named_by_one_word(tmp_path: Path, command: str) -> None:
    (tmp_path / "held.py").write_text(
        "SECRET_KEY = 'x' * 60\nINSTALLED_APPS = ['deploy']\n"
        f"DEPLOY = {{'BUCKET': 'file://{tmp_path}/bucket', 'STATIC_BUCKET': 'file://{tmp_path}/static'}}\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"
    )
    run = Place(tmp_path, "", {}, LocalBucket(tmp_path / "bucket")).start(
        "releases", "hold", "--command", command, "--release", "r1"
    )
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (2, "")
    assert "deploy.L065" in err
