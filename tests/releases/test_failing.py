from __future__ import annotations

import json

import pytest
from django.core.management import ManagementUtility

from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases import inspect
from deploy.releases.failing import record_failure
from deploy.releases.history import FAILED, LIVE, PREPARED, ROLLED_BACK, STARTED, read_history
from deploy.releases.identity import Identity
from deploy.releases.ledger import Ledger
from deploy.releases.lock import DeployLock
from deploy.releases.session import Session
from deploy.reporting.findings import Refusal
from deploy.reporting.redaction import register_secret
from deploy.reporting.report import Report, Step


@pytest.fixture
def session(conf: DeployConf, bucket: LocalBucket, ledger: Ledger) -> Session:
    """The command runs from the live release's image, not from that of the one that failed."""
    return Session(conf, bucket, bucket, ledger, Identity("live-one", ""))


def _fail(session: Session, release: str, *, step: str = "health", reason: str = "never ready") -> Report:
    report = Report("releases")
    record_failure(session, report, release, step=step, reason=reason)
    return report


def _failures(session: Session) -> int:
    return sum(header.kind == FAILED for header in session.ledger.headers())


def test_a_prepared_release_whose_container_never_got_ready_has_failed(session: Session) -> None:
    session.ledger.append(PREPARED, "r2", {})
    assert read_history(session.ledger).candidate() is not None
    for _ in range(2):  # a rollout that was killed records it again
        _fail(session, "r2", reason="never ready: 500 from /readyz")
    assert _failures(session) == 1
    history = read_history(session.ledger)
    assert history.releases["r2"].status == "failed"
    assert history.candidate() is None
    inspect.list_releases(session, step := Step("list"), limit=1)
    assert step.facts["releases"][0]["why"] == "health: never ready: 500 from /readyz"
    inspect.show_release(session, step := Step("show"), "r2")
    assert step.facts["failure"]["findings"][0]["id"] == "deploy.L067"


def test_a_release_whose_image_could_not_be_pulled_is_recorded_too(session: Session) -> None:
    _fail(session, "never-seen", step="pull", reason="manifest unknown")
    assert read_history(session.ledger).releases["never-seen"].status == "failed"


def test_a_second_failure_of_another_kind_is_recorded(session: Session) -> None:
    _fail(session, "r2", step="pull", reason="registry gone")
    _fail(session, "r2", step="start", reason="exit 127")
    assert _failures(session) == 2


def test_what_predeploy_recorded_of_its_refusal_is_not_covered_by_less(session: Session) -> None:
    session.ledger.append(STARTED, "r2", {})
    session.ledger.append(FAILED, "r2", {"step": "gate", "findings": [{"id": "deploy.M001"}]})
    report = _fail(session, "r2", step="proving", reason="predeploy said no (exit code 1).")
    assert report.steps[-1].skipped
    assert _failures(session) == 1
    inspect.list_releases(session, step := Step("list"), limit=1)
    assert step.facts["releases"][0]["why"] == "gate: deploy.M001"
    session.ledger.append(STARTED, "r2", {})  # another attempt, which gets further
    session.ledger.append(PREPARED, "r2", {})
    _fail(session, "r2")
    assert _failures(session) == 2


@pytest.mark.parametrize("status", ["live", "superseded", "rolled-back"])
def test_what_was_live_keeps_its_status(session: Session, status: str) -> None:
    session.ledger.append(PREPARED, "r1", {})
    session.ledger.append(LIVE, "r1", {})
    if status == "superseded":
        session.ledger.append(LIVE, "r2", {})
    if status == "rolled-back":
        session.ledger.append(ROLLED_BACK, "r1", {"to": ""})
    report = _fail(session, "r1")
    assert [finding.id for finding in report.findings] == ["deploy.L068"]
    assert report.steps[-1].ok
    assert read_history(session.ledger).releases["r1"].status == status
    assert _failures(session) == 1
    if status != "live":  # deployed again, it can fail
        session.ledger.append(STARTED, "r1", {})
        _fail(session, "r1", reason="again")
        assert read_history(session.ledger).releases["r1"].status == "failed"


@pytest.mark.parametrize(
    ("release", "step", "reason", "finding"),
    [
        ("a b", "health", "x", "deploy.C006"),
        ("a", "", "x", "deploy.L069"),
        ("a", "rm -rf /", "x", "deploy.L069"),
        ("a", "x" * 61, "x", "deploy.L069"),
        ("a", "health", " \n\x1b", "deploy.L069"),
    ],
)
def test_what_is_no_failure_is_refused_and_nothing_is_written(
    session: Session, release: str, step: str, reason: str, finding: str
) -> None:
    with pytest.raises(Refusal) as refused:
        _fail(session, release, step=step, reason=reason)
    assert [one.id for one in refused.value.findings] == [finding]
    assert refused.value.exit_code == 2
    assert list(session.bucket.list()) == []


def test_the_reason_is_cut_and_has_no_secret_and_no_escape_sequence(session: Session) -> None:
    register_secret("hunter2-hunter2")
    _fail(session, "r2", reason="\x1b[31m" + "x" * 1990 + "hunter2-hunter2" + "y" * 5000)
    history = read_history(session.ledger)
    inspect.show_release(session, step := Step("show"), "r2")
    told = step.facts["failure"]["reason"]
    assert len(told) == 2000
    assert "\x1b" not in told
    assert "hunter2" not in told
    assert history.releases["r2"].status == "failed"


def test_it_waits_for_nobody_who_is_deploying(session: Session) -> None:
    with (
        DeployLock(session.conf, session.bucket, command="predeploy", release="r3"),
        pytest.raises(Refusal) as refused,
    ):
        _fail(session, "r2")
    assert refused.value.exit_code == 75
    assert _failures(session) == 0


def test_a_reason_that_is_missing_is_a_usage_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "releases", "fail", "r2", "--step=health", "--format=json"]).execute()
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["steps"][0]["findings"][0]["id"] == "deploy.R002"
