from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases.history import FAILED, LIVE, PREPARED, ROLLED_BACK, STARTED, body, fold, read_history
from deploy.releases.ledger import Ledger, Record, open_ledger
from deploy.reporting.findings import Refusal
from deploy.reporting.redaction import register_secret
from deploy.testing import BucketFault, FaultyBucket, every_fault


def test_records_are_numbered_and_come_back_whole(ledger: Ledger) -> None:
    ledger.append(STARTED, "a", {"commit": "c1"})
    ledger.append(PREPARED, "a", {"migrations": [("shop", "0001")]})
    headers = ledger.headers()
    assert [(h.seq, h.kind, h.release) for h in headers] == [(1, STARTED, "a"), (2, PREPARED, "a")]
    assert ledger.read(headers[1]).data == {"migrations": [["shop", "0001"]]}
    assert ledger.read(headers[1]).by == "alice@laptop:1"
    assert headers[0].at.utcoffset() is not None


def test_a_record_never_holds_a_secret(ledger: Ledger, bucket: LocalBucket) -> None:
    register_secret("canary-4711-secret")
    ledger.append(FAILED, "a", {"findings": [{"message": "password canary-4711-secret refused"}]})
    raw = bucket.read("ledger/optifit/test/00000001.json")
    assert b"canary-4711" not in raw


def _append_many(path: str, conf: DeployConf, who: str) -> None:
    ledger = open_ledger(replace(conf, owner=who), LocalBucket(path))
    for number in range(10):
        ledger.append("step.proved", "a", {"who": who, "number": number})


def test_writers_at_once_lose_no_record(conf: DeployConf, tmp_path: Path, ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_append_many, args=(str(tmp_path / "bucket"), conf, f"w{n}")) for n in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    headers = ledger.headers()
    assert [h.seq for h in headers] == list(range(1, 31))
    records = ledger.read_all(headers)
    for who in ("w0", "w1", "w2"):
        assert [r.data["number"] for r in records if r.data["who"] == who] == list(range(10))


def test_a_damaged_record_is_a_finding_and_the_others_are_read(ledger: Ledger, bucket: LocalBucket) -> None:
    ledger.append(STARTED, "a", {})
    bucket.put("ledger/optifit/test/00000002.json", b"{not json", if_generation=0)
    bucket.put(
        "ledger/optifit/test/00000003.json",
        b'{"schema": 99}',
        metadata={"kind": PREPARED, "release": "a", "at": "2026-01-01T00:00:00+00:00"},
    )
    ledger.append(LIVE, "a", {})
    headers = ledger.headers()
    assert [h.seq for h in headers] == [1, 3, 4]
    assert [f.id for f in ledger.findings] == ["deploy.L010"]
    assert ledger.read(headers[1]).data == {}
    assert [f.id for f in ledger.findings] == ["deploy.L010", "deploy.L010"]


def test_an_unreachable_bucket_is_one_finding(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BucketError("503 Service Unavailable")

    monkeypatch.setattr(ledger.bucket, "list", broken)
    with pytest.raises(Refusal) as refused:
        ledger.headers()
    assert [f.id for f in refused.value.findings] == ["deploy.L011"]
    with pytest.raises(Refusal) as refused:
        ledger.append(STARTED, "a", {})
    assert [f.id for f in refused.value.findings] == ["deploy.L011"]


def test_a_guard_that_refuses_lets_nothing_be_written(ledger: Ledger) -> None:
    def refuse() -> None:
        raise Refusal(exit_code=75)

    with pytest.raises(Refusal):
        ledger.append(STARTED, "a", {}, guard=refuse)
    assert ledger.headers() == []


def test_no_free_number_is_refused(
    ledger: Ledger, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.buckets.base import PreconditionFailed

    def taken(*_: object, **__: object) -> None:
        raise PreconditionFailed("somebody was first")

    monkeypatch.setattr(ledger.bucket, "put", taken)
    with pytest.raises(Refusal) as refused:
        ledger.append(STARTED, "a", {})
    assert [f.id for f in refused.value.findings] == ["deploy.L012"]


def _history(ledger: Ledger, *lines: tuple[str, str, dict[str, object]]) -> dict[str, str]:
    for kind, release, data in lines:
        ledger.append(kind, release, data)
    return {name: release.status for name, release in read_history(ledger).releases.items()}


def test_a_new_live_release_supersedes_the_one_before(ledger: Ledger) -> None:
    assert _history(
        ledger,
        (STARTED, "a", {}),
        (PREPARED, "a", {}),
        (LIVE, "a", {}),
        (STARTED, "b", {}),
        (PREPARED, "b", {}),
        (LIVE, "b", {}),
        (STARTED, "c", {}),
        (FAILED, "c", {"step": "gate"}),
    ) == {"a": "superseded", "b": "live", "c": "failed"}
    history = read_history(ledger)
    assert history.live is not None
    assert history.live.name == "b"
    assert history.previous == ("a",)
    assert history.candidate() is None


def test_a_rollback_makes_the_target_live_again_in_one_record(ledger: Ledger) -> None:
    assert _history(
        ledger,
        (PREPARED, "a", {}),
        (LIVE, "a", {}),
        (PREPARED, "b", {}),
        (LIVE, "b", {}),
        (ROLLED_BACK, "b", {"to": "a"}),
    ) == {"a": "live", "b": "rolled-back"}
    assert read_history(ledger).previous == ()


def test_abandoning_a_prepared_release_leaves_the_live_one(ledger: Ledger) -> None:
    assert _history(
        ledger,
        (PREPARED, "a", {}),
        (LIVE, "a", {}),
        (PREPARED, "b", {}),
        (ROLLED_BACK, "b", {"to": "a"}),
    ) == {"a": "live", "b": "rolled-back"}


def test_deploying_the_live_release_again_never_takes_its_status(ledger: Ledger) -> None:
    assert _history(
        ledger,
        (PREPARED, "a", {}),
        (LIVE, "a", {}),
        (STARTED, "a", {}),
        (FAILED, "a", {}),
        (PREPARED, "a", {}),
    ) == {"a": "live"}


def test_a_prepared_release_older_than_the_live_one_is_no_candidate(ledger: Ledger) -> None:
    _history(ledger, (PREPARED, "a", {}), (PREPARED, "b", {}), (LIVE, "b", {}))
    assert read_history(ledger).candidate() is None


def test_records_of_another_environment_are_never_seen(
    conf: DeployConf, bucket: LocalBucket, ledger: Ledger
) -> None:
    open_ledger(replace(conf, environment="test2"), bucket).append(LIVE, "x", {})
    assert read_history(ledger).releases == {}


def test_the_body_is_that_of_the_last_record_of_its_kind(ledger: Ledger) -> None:
    ledger.append(PREPARED, "a", {"verdict": "switch"})
    ledger.append(PREPARED, "a", {"verdict": "restore"})
    assert body(ledger, read_history(ledger).releases["a"], PREPARED)["verdict"] == "restore"


def test_fold_of_nothing_is_empty() -> None:
    assert fold([], {}).live is None


def test_unknown_kinds_are_left_for_newer_versions(ledger: Ledger) -> None:
    ledger.append("something.new", "a", {})
    assert isinstance(ledger.headers()[0], Record)
    assert read_history(ledger).releases == {}


def test_a_prepared_release_stays_prepared_when_it_is_started_again(ledger: Ledger) -> None:
    assert _history(ledger, (STARTED, "a", {}), (PREPARED, "a", {}), (STARTED, "a", {})) == {"a": "prepared"}


def test_a_failed_release_starts_anew(ledger: Ledger) -> None:
    lines = ((PREPARED, "a", {}), (STARTED, "a", {}), (FAILED, "a", {}))
    assert _history(ledger, *lines) == {"a": "failed"}
    assert _history(ledger, (STARTED, "a", {})) == {"a": "started"}


@pytest.mark.parametrize("fault", every_fault(), ids=lambda fault: f"{fault.method}-{fault.kind}")
def test_whatever_the_bucket_does_a_record_is_there_once_or_refused(
    conf: DeployConf, bucket: LocalBucket, ledger: Ledger, fault: BucketFault
) -> None:
    ledger.append(STARTED, "a", {})
    faulty = open_ledger(conf, FaultyBucket(bucket, fault))
    told: list[str] = []
    try:
        faulty.read(faulty.append(PREPARED, "a", {"number": 1}))
        told = [finding.id for finding in faulty.findings]
    except Refusal as refusal:
        told = [finding.id for finding in refusal.findings]
    damaged = fault.method == "read" and fault.kind in ("missing", "corrupt", "flip")
    fails = fault.kind in ("error", "timeout", "partial") and fault.method in ("put", "list", "read")
    assert told == (["deploy.L010"] if damaged else ["deploy.L011"] if fails else [])
    written = fault.kind in ("slow", "lost", "duplicate") or fault.method not in ("put", "list")
    assert [header.kind for header in ledger.headers()] == [STARTED, *[PREPARED] * written]
    ledger.append(LIVE, "a", {})
    assert [header.kind for header in ledger.headers()][-1] == LIVE


def test_every_page_of_a_listing_is_needed(conf: DeployConf, bucket: LocalBucket, ledger: Ledger) -> None:
    """A number that was read off half a listing would be taken, or history end early."""
    for number in range(5):
        ledger.append(STARTED, "a", {"number": number})
    faulty = open_ledger(conf, FaultyBucket(bucket, BucketFault("partial", "list", after=3, times=2)))
    with pytest.raises(Refusal):
        faulty.headers()
    with pytest.raises(Refusal):
        faulty.append(LIVE, "a", {})
    assert len(ledger.headers()) == 5


def test_a_record_whose_properties_are_damaged_is_not_passed_over(
    ledger: Ledger, bucket: LocalBucket, tmp_path: Path
) -> None:
    ledger.append(STARTED, "a", {})
    (stored,) = (tmp_path / "bucket" / "ledger").rglob("00000001*")
    stored.write_bytes(stored.read_bytes()[:-3])
    with pytest.raises(Refusal) as refused:
        ledger.headers()
    assert [finding.id for finding in refused.value.findings] == ["deploy.L011"]
