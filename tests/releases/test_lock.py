from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases import lock as lock_module
from deploy.releases.lock import DeployLock, LockState, lock_name, read_lock
from deploy.reporting.findings import Refusal
from deploy.testing import BucketFault, FaultyBucket, every_fault


def _lock(conf: DeployConf, bucket: LocalBucket, **options: object) -> DeployLock:
    return DeployLock(conf, bucket, command="predeploy", release="r1", **options)  # type: ignore[arg-type]


def test_the_second_deployer_is_refused_with_75_and_told_the_owner(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    with _lock(conf, bucket):
        with pytest.raises(Refusal) as refused, _lock(replace(conf, owner="bob@ci:2"), bucket):
            pass
        assert refused.value.exit_code == 75
        assert [f.id for f in refused.value.findings] == ["deploy.L001"]
        assert "alice@laptop:1" in refused.value.findings[0].message
        assert "predeploy of release r1" in refused.value.findings[0].message


def test_it_is_gone_after_the_block_also_after_an_error(conf: DeployConf, bucket: LocalBucket) -> None:
    with pytest.raises(ZeroDivisionError), _lock(conf, bucket):
        raise ZeroDivisionError
    assert read_lock(conf, bucket) is None


def test_heartbeats_keep_it_beyond_its_time_to_live(conf: DeployConf, bucket: LocalBucket) -> None:
    short = replace(conf, lock_ttl_seconds=1.0)
    with _lock(short, bucket) as held:
        time.sleep(2.2)
        held.guard()
        state = read_lock(short, bucket)
        assert state is not None
        assert state.expires_in_seconds > 0


def _hold_for_ever(path: str, conf: DeployConf, ready: Callable[[], None]) -> None:
    with _lock(conf, LocalBucket(path)):
        ready()
        time.sleep(600)


def test_a_killed_owner_is_taken_over_after_its_expiry(
    conf: DeployConf, tmp_path: Path, bucket: LocalBucket
) -> None:
    short = replace(conf, lock_ttl_seconds=1.5, owner="dead@vm:7")
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    owner = context.Process(target=_hold_for_ever, args=(str(tmp_path / "bucket"), short, held.set))
    owner.start()
    assert held.wait(30)
    owner.kill()
    owner.join()
    with pytest.raises(Refusal), _lock(conf, bucket):
        pass
    taken: list[LockState] = []
    with _lock(conf, bucket, wait_seconds=10, on_takeover=taken.append) as lock:
        lock.guard()
    assert [state.owner for state in taken] == ["dead@vm:7"]
    assert taken[0].expires_in_seconds <= 0


def test_a_deployer_that_lost_the_lock_stops_before_its_next_write(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    short = replace(conf, lock_ttl_seconds=1.0)
    with _lock(short, bucket) as held:
        bucket.delete(lock_name(conf))
        with _lock(replace(conf, owner="bob@ci:2"), bucket) as other:
            time.sleep(0.6)
            with pytest.raises(Refusal) as refused:
                held.guard()
            assert refused.value.exit_code == 75
            assert [f.id for f in refused.value.findings] == ["deploy.L002"]
            other.guard()
    assert read_lock(conf, bucket) is None


def test_a_loser_never_deletes_the_new_owners_lock(conf: DeployConf, bucket: LocalBucket) -> None:
    lost = _lock(conf, bucket)
    lost.__enter__()
    bucket.delete(lock_name(conf))
    with _lock(replace(conf, owner="bob@ci:2"), bucket):
        lost.__exit__(None, None, None)
        state = read_lock(conf, bucket)
        assert state is not None
        assert state.owner == "bob@ci:2"


def test_no_heartbeat_through_to_the_bucket_ends_the_right_to_write(
    conf: DeployConf, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _lock(replace(conf, lock_ttl_seconds=1.0), bucket) as held:
        held.guard()

        def cut_off(*_: object, **__: object) -> None:
            raise BucketError("connection reset")

        monkeypatch.setattr(bucket, "put", cut_off)
        time.sleep(1.2)
        with pytest.raises(Refusal) as refused:
            held.guard()
        assert [f.id for f in refused.value.findings] == ["deploy.L002"]


def test_one_lost_heartbeat_is_no_lost_lock(
    conf: DeployConf, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(conf, lock_ttl_seconds=2.0)
    with _lock(short, bucket) as held:
        put, failed = bucket.put, threading.Event()

        def flaky(*args: object, **options: object) -> object:
            if not failed.is_set():
                failed.set()
                raise BucketError("503")
            return put(*args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(bucket, "put", flaky)
        assert failed.wait(5)
        time.sleep(1.0)
        held.guard()


def _compete(path: str, conf: DeployConf, number: int, wins: object, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    try:
        with _lock(replace(conf, owner=f"p{number}"), LocalBucket(path)):
            wins.put(number)  # type: ignore[attr-defined]
            time.sleep(1.5)
    except Refusal as refusal:
        wins.put(-refusal.exit_code)  # type: ignore[attr-defined]


def test_of_many_at_once_exactly_one_wins(conf: DeployConf, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    wins, start = context.Queue(), context.Event()
    runs = [
        context.Process(target=_compete, args=(str(tmp_path / "bucket"), conf, n, wins, start))
        for n in range(4)
    ]
    for run in runs:
        run.start()
    time.sleep(1.5)
    start.set()
    results = [wins.get(timeout=60) for _ in runs]
    for run in runs:
        run.join(30)
    assert sorted(result < 0 for result in results) == [False, True, True, True]
    assert [result for result in results if result < 0] == [-75, -75, -75]


def test_an_unreadable_lock_expires_like_any_other(
    conf: DeployConf, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(lock_name(conf), b"garbage")
    with pytest.raises(Refusal) as refused, _lock(conf, bucket):
        pass
    assert "unknown" in refused.value.findings[0].message
    assert lock_module._parse({}, bucket.stat(lock_name(conf))).ttl_seconds == 60.0  # type: ignore[arg-type]


def test_a_takeover_that_cannot_be_recorded_gives_the_lock_back(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    short = replace(conf, lock_ttl_seconds=1.0)
    DeployLock(short, bucket, command="predeploy", release="a")._acquire()
    time.sleep(1.1)

    def fail(_state: LockState) -> None:
        raise OSError("the ledger is down")

    with (
        pytest.raises(OSError, match="the ledger"),
        DeployLock(conf, bucket, command="predeploy", release="b", on_takeover=fail),
    ):
        pass
    assert read_lock(conf, bucket) is None


@pytest.mark.parametrize("kind", ["lost", "duplicate"])
def test_a_lock_whose_answer_was_lost_is_held_and_given_back(
    conf: DeployConf, bucket: LocalBucket, kind: str
) -> None:
    """Otherwise this deployer would wait for itself."""
    faulty = FaultyBucket(bucket, BucketFault(kind, "put"))
    with _lock(conf, faulty) as held:
        held.guard()
        assert len(faulty.met) == 1
    assert read_lock(conf, bucket) is None


@pytest.mark.parametrize("kind", ["lost", "duplicate"])
@pytest.mark.parametrize("looked", [True, False])
def test_a_heartbeat_whose_answer_was_lost_is_no_lost_lock(
    conf: DeployConf, bucket: LocalBucket, kind: str, looked: bool
) -> None:
    faulty = FaultyBucket(bucket)
    with _lock(conf, faulty) as held:
        faulty.add(BucketFault(kind, "put"))
        if not looked:  # the look for it is not answered either
            faulty.add(BucketFault("error", "stat"))
        held._renew()
        held._renew()
        held.guard()
        assert held._lost == ""
    assert read_lock(conf, bucket) is None


def test_a_lock_is_given_back_after_a_heartbeat_that_nobody_answered(
    conf: DeployConf, bucket: LocalBucket
) -> None:
    faulty = FaultyBucket(bucket)
    with _lock(conf, faulty) as held:
        faulty.add(BucketFault("lost", "put"), BucketFault("error", "stat"))
        held._renew()
    assert read_lock(conf, bucket) is None


@pytest.mark.parametrize("fault", every_fault(), ids=lambda fault: f"{fault.method}-{fault.kind}")
def test_whatever_the_bucket_does_the_lock_is_held_or_refused(
    conf: DeployConf, bucket: LocalBucket, fault: BucketFault
) -> None:
    faulty = FaultyBucket(bucket, fault)
    refused = None
    try:
        with _lock(conf, faulty) as held:
            held.guard()
    except Refusal as refusal:
        refused = [finding.id for finding in refusal.findings]
    assert refused in (None, ["deploy.L011"])
    # A lock that could not be given back expires; nothing else is left of a failure.
    stays = fault.method == "delete" and fault.kind in ("error", "timeout")
    assert (read_lock(conf, bucket) is not None) is stays
