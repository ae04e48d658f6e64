"""What Google's service does on bad days, put between the client and the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.backup.companions import Folder
from deploy.backup.firestore import reading, writing
from deploy.backup.firestore.connection import Database
from deploy.backup.firestore.restore import Wish, plan_restore, restore
from deploy.backup.manifest import Companion
from deploy.backup.naming import Identity, new_id
from deploy.buckets.local import LocalBucket
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import Put
from .proxy import Faults, proxying
from .test_round_trip import contents, keeper, manifest_of

pytestmark = pytest.mark.needs_firestore

DOCUMENTS = {f"users/{number:03}": {"n": {"integerValue": str(number)}} for number in range(50)}


@pytest.fixture
def faults(emulator: str) -> Iterator[Faults]:
    with proxying(emulator) as faults:
        yield faults


@pytest.fixture(autouse=True)
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reading, writing):
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0)


def keep(
    source: Database, endpoint: str, folder: Path, ago: timedelta = timedelta(0)
) -> tuple[Companion, Step, Folder]:
    created = datetime.now(UTC) - ago
    place = Folder(
        LocalBucket(folder), Identity("p", "test", "app"), new_id(created, "v1"), created, 1, lambda: None
    )
    step = Step("backup")
    return keeper(source, endpoint).keep(place, step), step, place


def ids(step: Step) -> list[str]:
    return [finding.id for finding in step.findings]


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN]
)
def test_a_stream_that_breaks_off_goes_on_where_it_was(
    faults: Faults, source: Database, put: Put, tmp_path: Path, code: grpc.StatusCode
) -> None:
    put(source, DOCUMENTS)
    faults.cut = [(20, code), (0, code), (25, code)]
    companion, step, folder = keep(source, faults.endpoint, tmp_path)
    assert (step.findings, companion.facts["documents"]) == ([], 50)
    assert set(faults.moments) == {folder.created}  # one cut, however often it broke off


def test_a_service_that_stays_away_is_a_finding_and_leaves_no_file(
    faults: Faults, source: Database, put: Put, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    faults.cut = [(20, grpc.StatusCode.UNAVAILABLE)] + [(0, grpc.StatusCode.UNAVAILABLE)] * 10
    companion, step, folder = keep(source, faults.endpoint, tmp_path)
    assert (ids(step), companion.part, companion.facts["state"]) == (["deploy.B079"], None, "failed")
    assert list(folder.bucket.list()) == []


def test_a_moment_that_expires_in_the_middle_gives_way_to_its_whole_minute(
    faults: Faults, source: Database, put: Put, tmp_path: Path
) -> None:
    """With point-in-time recovery: whole minutes stay."""
    put(source, DOCUMENTS)
    expired = grpc.StatusCode.FAILED_PRECONDITION
    faults.cut = [(20, expired)]
    companion, step, folder = keep(source, faults.endpoint, tmp_path)
    minute = folder.created.replace(second=0, microsecond=0)
    assert list(dict.fromkeys(faults.moments)) == [folder.created, minute]
    assert companion.moment == minute
    assert step.findings == []


def test_a_snapshot_of_long_ago_is_asked_for_by_its_minute(
    faults: Faults, source: Database, put: Put, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    companion, _, folder = keep(source, faults.endpoint, tmp_path, ago=timedelta(hours=3))
    assert faults.moments == [folder.created.replace(second=0, microsecond=0)]
    assert companion.facts["documents"] == 0  # as it was then


def test_without_point_in_time_recovery_the_skew_is_said(
    faults: Faults, source: Database, put: Put, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    faults.shows = lambda moment: datetime.now(UTC) - moment < timedelta(hours=1)
    companion, step, _ = keep(source, faults.endpoint, tmp_path, ago=timedelta(hours=3))
    assert companion.facts["documents"] == 50
    assert companion.facts["skew_seconds"] > 10000
    assert ids(step) == ["deploy.B084"]
    assert "--enable-pitr" in step.findings[0].hint


def test_an_export_that_no_moment_outlives_says_what_helps(
    faults: Faults, source: Database, put: Put, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    faults.shows = lambda _: False
    companion, step, folder = keep(source, faults.endpoint, tmp_path)
    assert (ids(step), companion.part) == (["deploy.B078"], None)
    assert "--enable-pitr" in step.findings[0].hint
    assert list(folder.bucket.list()) == []


def test_a_clock_ahead_of_googles_does_not_ask_for_the_future(
    source: Database, put: Put, tmp_path: Path, emulator: str
) -> None:
    put(source, DOCUMENTS)
    companion, _, _ = keep(source, emulator, tmp_path, ago=timedelta(minutes=-5))
    assert companion.facts["documents"] == 50
    assert companion.moment <= datetime.now(UTC) + timedelta(seconds=1)


def test_lost_answers_and_passing_refusals_of_writes_are_made_good(
    faults: Faults, client: Any, source: Database, target: Database, put: Put, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    companion, _, folder = keep(source, faults.endpoint, tmp_path)
    manifest = manifest_of(folder, companion)
    faults.write_codes = [10, 14, 8]
    faults.lose_writes = 1
    facts = restore(folder.bucket, manifest, Wish(target, faults.endpoint), step=Step("restore"))
    assert facts["documents"] == facts["created"] + facts["existing"] == 50
    assert contents(client, target) == DOCUMENTS


def test_a_write_that_is_refused_for_good_is_named(
    faults: Faults, source: Database, target: Database, put: Put, tmp_path: Path
) -> None:
    put(source, DOCUMENTS)
    companion, _, folder = keep(source, faults.endpoint, tmp_path)
    manifest = manifest_of(folder, companion)
    wish = Wish(target, faults.endpoint)
    faults.write_codes = [3]
    with pytest.raises(Refusal, match="users/000 is not taken: declined") as refusal:
        restore(folder.bucket, manifest, wish, step=Step("restore"))
    assert [finding.id for finding in refusal.value.findings] == ["deploy.B079"]

    assert plan_restore(folder.bucket, manifest, wish, step=Step("plan")).create == 1
    assert restore(folder.bucket, manifest, wish, step=Step("restore"))["created"] == 1
