from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.maintenance import state
from deploy.maintenance.state import begin, current, end, look, object_name
from deploy.reporting.findings import Refusal
from deploy.reporting.redaction import register_secret
from deploy.testing import BucketFault, FaultyBucket

END = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_it_is_on_as_long_as_its_object_is_there(conf: DeployConf, bucket: LocalBucket) -> None:
    assert look(conf, bucket) is None
    begun = begin(conf, bucket, "Upgrade", expected_end=END)
    assert look(conf, bucket) == current(conf, bucket) == begun
    assert (begun.text, begun.expected_end, begun.by) == ("Upgrade", END, "alice@laptop:1")
    later = begin(conf, bucket, "Upgrade, longer", expected_end=END + timedelta(hours=1))
    assert current(conf, bucket) == later
    assert end(conf, bucket) == later
    assert end(conf, bucket) is None
    assert look(conf, bucket) is None


def test_another_environment_has_its_own(conf: DeployConf, bucket: LocalBucket) -> None:
    begin(conf, bucket, "Upgrade", expected_end=None)
    assert look(replace(conf, environment="staging"), bucket) is None


def test_a_rollback_leaves_what_a_person_switched_on(conf: DeployConf, bucket: LocalBucket) -> None:
    by_hand = begin(conf, bucket, "By hand", expected_end=None)
    assert begin(conf, bucket, "Restoring", expected_end=END, rollback_of="r2") == by_hand
    assert end(conf, bucket, rollback_of="r2") is None
    assert current(conf, bucket) == by_hand


def test_a_person_may_take_a_rollbacks_over(conf: DeployConf, bucket: LocalBucket) -> None:
    begin(conf, bucket, "Restoring", expected_end=END, rollback_of="r2")
    assert end(conf, bucket, rollback_of="r3") is None
    begin(conf, bucket, "By hand", expected_end=None)
    assert end(conf, bucket, rollback_of="r2") is None
    assert end(conf, bucket) is not None


def test_of_two_at_once_both_are_heard_and_one_stands(conf: DeployConf, bucket: LocalBucket) -> None:
    with ThreadPoolExecutor(2) as threads:
        begun = list(threads.map(lambda text: begin(conf, bucket, text, expected_end=None), ("a", "b")))
    assert current(conf, bucket) in begun


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"expected_end": "soon", "since": 3}', b"\xff"])
def test_what_cannot_be_read_is_maintenance_all_the_same(
    conf: DeployConf, bucket: LocalBucket, body: bytes
) -> None:
    bucket.put(object_name(conf), body)
    seen = look(conf, bucket)
    assert seen is not None
    assert (seen.text, seen.expected_end) == ("", None)
    assert end(conf, bucket) is not None


def test_the_guard_is_asked_before_anything_is_written(conf: DeployConf, bucket: LocalBucket) -> None:
    def lost() -> None:
        raise Refusal(exit_code=75)

    with pytest.raises(Refusal):
        begin(conf, bucket, "x", expected_end=None, guard=lost)
    assert look(conf, bucket) is None
    begin(conf, bucket, "x", expected_end=None)
    with pytest.raises(Refusal):
        end(conf, bucket, guard=lost)
    assert look(conf, bucket) is not None


@pytest.mark.parametrize("kind", ["lost", "duplicate"])
def test_a_lost_answer_is_no_failure(conf: DeployConf, bucket: LocalBucket, kind: str) -> None:
    begun = begin(conf, FaultyBucket(bucket, BucketFault(kind, "put")), "x", expected_end=None)
    assert current(conf, bucket) == begun


@pytest.mark.parametrize("method", ["stat", "read", "put", "delete"])
def test_a_bucket_that_is_away_is_one_finding(conf: DeployConf, bucket: LocalBucket, method: str) -> None:
    begin(conf, bucket, "x", expected_end=None)
    faulty = FaultyBucket(bucket, BucketFault("error", method, times=99))
    with pytest.raises(Refusal) as refused:
        end(conf, faulty) if method == "delete" else begin(conf, faulty, "y", expected_end=None)
    assert [finding.id for finding in refused.value.findings] == ["deploy.K002"]
    assert refused.value.exit_code == 2


def test_what_others_keep_changing_is_left_alone(
    conf: DeployConf, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = begin(conf, bucket, "x", expected_end=None)
    monkeypatch.setattr(state, "current", lambda *_: replace(known, generation=12345))
    for act in (lambda: end(conf, bucket), lambda: begin(conf, bucket, "y", expected_end=None)):
        with pytest.raises(Refusal) as refused:
            act()
        assert [finding.id for finding in refused.value.findings] == ["deploy.L075"]


def test_no_secret_is_shown_to_the_public(conf: DeployConf, bucket: LocalBucket) -> None:
    register_secret("hunter3-hunter3")
    assert "hunter3" not in begin(conf, bucket, "key hunter3-hunter3", expected_end=None).text


def test_a_look_raises_what_the_bucket_raises(conf: DeployConf, bucket: LocalBucket) -> None:
    with pytest.raises(BucketError):
        look(conf, FaultyBucket(bucket, BucketFault("error", "read")))
