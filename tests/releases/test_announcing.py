from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import ManagementUtility
from django.test import override_settings

from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.maintenance import state
from deploy.releases import announcing, notices
from deploy.releases.identity import Identity
from deploy.releases.ledger import Ledger
from deploy.releases.notices import Draft
from deploy.releases.session import Session
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report


@pytest.fixture
def session(conf: DeployConf, bucket: LocalBucket, ledger: Ledger) -> Session:
    return Session(conf, bucket, bucket, ledger, Identity("r1", ""))


def _announce(session: Session, *, dry_run: bool = False, **draft: Any) -> Report:
    report = Report("announce")
    announcing.announce(
        session, report, Draft.of("Upgrade", eta="30m", **draft), maintenance=True, dry_run=dry_run
    )
    return report


def _refusal(act: Callable[[], object]) -> list[str]:
    with pytest.raises(Refusal) as refused:
        act()
    return [finding.id for finding in refused.value.findings]


def test_maintenance_and_its_notice_go_on_and_off_together(session: Session) -> None:
    _announce(session)
    on = state.current(session.conf, session.bucket)
    [notice] = notices.in_force(session.ledger)
    assert on is not None
    assert (on.text, on.expected_end) == (notice.text, notice.expected_end)
    announcing.list_in_force(session, shown := Report("announce"))
    assert shown.steps[0].facts["text"] == "Upgrade"
    announcing.resolve(session, Report("announce"), dry_run=False)
    assert state.current(session.conf, session.bucket) is None
    assert notices.in_force(session.ledger) == []


def test_a_dry_run_says_it_and_writes_nothing(session: Session) -> None:
    report = _announce(session, dry_run=True)
    assert report.steps[-1].facts["text"] == "Upgrade"
    assert list(session.bucket.list()) == []
    _announce(session)
    before = [(info.name, info.generation) for info in session.bucket.list()]
    announcing.resolve(session, report := Report("announce"), dry_run=True)
    assert report.steps[-1].facts["would_resolve"] == 1
    assert [(info.name, info.generation) for info in session.bucket.list()] == before


def test_a_run_that_ended_between_the_two_is_completed_by_the_next(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session.ledger.__class__, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            _announce(session)
    assert state.current(session.conf, session.bucket) is not None
    _announce(session)
    assert len(notices.in_force(session.ledger)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(session.ledger.__class__, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            announcing.resolve(session, Report("announce"), dry_run=False)
    assert state.current(session.conf, session.bucket) is None
    announcing.resolve(session, Report("announce"), dry_run=False)
    assert notices.in_force(session.ledger) == []


def test_resolving_nothing_is_refused(session: Session) -> None:
    for dry_run in (True, False):
        assert _refusal(lambda: announcing.resolve(session, Report("announce"), dry_run=dry_run)) == [  # noqa: B023 – called at once
            "deploy.L052"
        ]


def test_its_text_is_everybodys(session: Session) -> None:
    assert _refusal(lambda: _announce(session, audience="staff")) == ["deploy.L077"]
    assert list(session.bucket.list()) == []


def test_without_the_middleware_it_says_that_nobody_is_kept_out(session: Session) -> None:
    assert _announce(session).findings == []  # OptiFit has it
    without = replace(
        session, conf=replace(session.conf, maintenance=replace(session.conf.maintenance, installed=False))
    )
    assert [finding.id for finding in _announce(without).findings] == ["deploy.L076"]


def test_when_the_bucket_is_away_no_notice_is_written(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise BucketError("503 from the store")

    with monkeypatch.context() as patch:
        patch.setattr(session.bucket, "stat", down)
        assert _refusal(lambda: _announce(session)) == ["deploy.K002"]
    assert notices.in_force(session.ledger) == []


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (["--resolve", "--maintenance"], "deploy.R002"),
        (["--list", "--eta=5m"], "deploy.R002"),
        (["text", "--maintenance", "--eta=5"], "deploy.L050"),
        (["--maintenance"], "deploy.L051"),
    ],
)
def test_mistakes_are_findings_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], finding: str
) -> None:
    with override_settings(DEPLOY={"BUCKET": f"file://{tmp_path}"}), pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "announce", *arguments, "--format=json"]).execute()
    assert ended.value.code == 2
    report = json.loads(capsys.readouterr().out)
    assert [one["id"] for step in report["steps"] for one in step["findings"]] == [finding]
    assert list(LocalBucket(tmp_path).list()) == []
