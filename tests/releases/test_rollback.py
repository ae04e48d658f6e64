from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import ManagementUtility

from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases.history import (
    CONTRACTED,
    FAILED,
    LIVE,
    PREPARED,
    PROVED,
    ROLLED_BACK,
    STARTED,
    read_history,
)
from deploy.releases.identity import Identity
from deploy.releases.ledger import Ledger
from deploy.releases.postdeploy import Postdeploy
from deploy.releases.pruning import pinned_backups
from deploy.releases.rollback import Rollback, plan_rollback, run_switch
from deploy.releases.session import Session
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report, Step


@pytest.fixture
def session(conf: DeployConf, bucket: LocalBucket, ledger: Ledger) -> Session:
    return Session(conf, bucket, bucket, ledger, Identity("r9", ""))


def _went_live(ledger: Ledger, *names: str) -> None:
    for name in names:
        ledger.append(PREPARED, name, {"verdict": "switch", "backup": f"backup-of-{name}"})
        ledger.append(LIVE, name, {})


def _refusal(act: Callable[[], object]) -> list[str]:
    with pytest.raises(Refusal) as refused:
        act()
    return [finding.id for finding in refused.value.findings]


def _plan(session: Session, to: str = "") -> object:
    return plan_rollback(session, read_history(session.ledger), to=to)


def test_a_live_release_goes_back_by_switching_traffic(session: Session) -> None:
    _went_live(session.ledger, "a", "b")
    plan = plan_rollback(session, read_history(session.ledger))
    assert (plan.release, plan.target, plan.way, plan.migrations) == ("b", "a", "switch", ())


def test_a_prepared_release_is_abandoned(session: Session) -> None:
    _went_live(session.ledger, "a")
    session.ledger.append(PREPARED, "b", {})
    plan = plan_rollback(session, read_history(session.ledger))
    assert (plan.release, plan.target, plan.way) == ("b", "a", "abandon")


def test_abandoning_a_release_moves_traffic_that_may_be_on_it_already(session: Session) -> None:
    session = replace(session, conf=replace(session.conf, switch=(sys.executable, "-c", "", "{release}")))
    _went_live(session.ledger, "a")
    session.ledger.append(PREPARED, "b", {})
    report = Report("rollback")
    Rollback(session, report).run()
    assert next(step for step in report.steps if step.name == "switch").facts["command"][-1] == "a"


def test_the_very_first_release_is_abandoned_without_a_switch(session: Session) -> None:
    session.ledger.append(PREPARED, "a", {})
    report = Report("rollback")
    Rollback(session, report).run()
    assert next(step for step in report.steps if step.name == "switch").skipped
    assert read_history(session.ledger).releases["a"].status == "rolled-back"


def test_several_releases_back_is_allowed_while_nothing_was_contracted(session: Session) -> None:
    _went_live(session.ledger, "a", "b", "c")
    plan = plan_rollback(session, read_history(session.ledger), to="a")
    assert (plan.target, plan.way) == ("a", "switch")


def test_a_contracted_release_in_between_bars_the_way(session: Session) -> None:
    _went_live(session.ledger, "a", "b")
    session.ledger.append(CONTRACTED, "b", {"migrations": []})
    _went_live(session.ledger, "c")
    assert _refusal(lambda: _plan(session, "a")) == ["deploy.L045"]


@pytest.mark.parametrize("lines", [[], ["a"]])
def test_nothing_to_go_back_to_is_one_finding(session: Session, lines: list[str]) -> None:
    _went_live(session.ledger, *lines)
    assert _refusal(lambda: _plan(session)) == ["deploy.L040"]


def test_an_unknown_release_is_answered_with_the_nearest(session: Session) -> None:
    _went_live(session.ledger, "release-a", "release-b")
    with pytest.raises(Refusal) as refused:
        _plan(session, "relaese-a")
    assert refused.value.findings[0].id == "deploy.L041"
    assert "'release-a'" in refused.value.findings[0].message


def test_a_release_that_is_live_or_never_was_is_no_target(session: Session) -> None:
    _went_live(session.ledger, "a", "b")
    session.ledger.append(STARTED, "x", {})
    assert _refusal(lambda: _plan(session, "b")) == ["deploy.L040"]
    assert _refusal(lambda: _plan(session, "x")) == ["deploy.L040"]


def test_a_dry_run_takes_no_lock_and_writes_nothing(session: Session) -> None:
    _went_live(session.ledger, "a", "b")
    before = session.ledger.headers()
    report = Report("rollback")
    Rollback(session, report, dry_run=True).run()
    assert session.ledger.headers() == before
    assert report.steps[0].facts["way"] == "switch"


def test_the_switch_command_runs_without_a_shell_and_gets_the_target(
    session: Session, tmp_path_factory
) -> None:  # type: ignore[no-untyped-def]
    told = tmp_path_factory.mktemp("switch") / "told"
    code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    session = replace(
        session, conf=replace(session.conf, switch=(sys.executable, "-c", code, str(told), "{release}; x"))
    )
    _went_live(session.ledger, "a", "b")
    Rollback(session, Report("rollback"), reason="slow").run()
    assert told.read_text() == "a; x"
    history = read_history(session.ledger)
    assert history.live is not None
    assert history.live.name == "a"
    assert history.releases["b"].status == "rolled-back"


def test_without_a_switch_command_the_person_is_told(session: Session) -> None:
    _went_live(session.ledger, "a", "b")
    report = Report("rollback")
    Rollback(session, report).run()
    assert [finding.id for finding in report.findings] == ["deploy.L043"]


@pytest.mark.parametrize(
    "argv", [(sys.executable, "-c", "import sys; sys.exit('no way')"), ("/does/not/exist",)]
)
def test_a_failed_switch_is_refused_and_not_recorded(session: Session, argv: tuple[str, ...]) -> None:
    session = replace(session, conf=replace(session.conf, switch=argv))
    _went_live(session.ledger, "a", "b")
    assert _refusal(lambda: Rollback(session, Report("rollback")).run()) == ["deploy.L044"]
    assert ROLLED_BACK not in {header.kind for header in session.ledger.headers()}


def test_what_the_switch_command_says_is_in_the_finding() -> None:
    argv = (sys.executable, "-c", "import sys; sys.exit('the proxy said no')")
    with pytest.raises(Refusal) as refused:
        run_switch(argv, "a", Step("switch"))
    assert "the proxy said no" in refused.value.findings[0].message


def test_backups_of_the_live_the_previous_and_the_prepared_release_are_pinned(session: Session) -> None:
    _went_live(session.ledger, "a", "b", "c")
    session.ledger.append(CONTRACTED, "c", {"backup": "before-contract-of-c", "migrations": []})
    session.ledger.append(PREPARED, "d", {"backup": "backup-of-d"})
    assert pinned_backups(session) == {"backup-of-b", "backup-of-c", "before-contract-of-c", "backup-of-d"}


def test_a_prepared_release_that_has_the_traffic_already_gives_it_back(
    session: Session, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    session = replace(
        session, conf=replace(session.conf, switch=(sys.executable, "-c", code, str(told), "{release}"))
    )
    _went_live(session.ledger, "a")
    session.ledger.append(PREPARED, "b", {})
    Rollback(session, Report("rollback")).run()
    assert told.read_text() == "a"


def test_a_named_release_goes_back_once_however_often_it_is_asked(session: Session) -> None:
    _went_live(session.ledger, "a", "b", "c")
    Rollback(session, Report("rollback"), release="c").run()
    report = Report("rollback")
    Rollback(session, report, release="c").run()
    assert report.steps[-1].skipped
    live = read_history(session.ledger).live
    assert live is not None
    assert live.name == "b"


def test_a_failed_release_that_is_named_never_takes_the_live_one_away(session: Session) -> None:
    _went_live(session.ledger, "a", "b")
    session.ledger.append(FAILED, "c", {})
    assert _refusal(lambda: Rollback(session, Report("rollback"), release="c").run()) == ["deploy.L046"]
    assert ROLLED_BACK not in {header.kind for header in session.ledger.headers()}


def test_of_two_rollbacks_at_once_the_second_does_not_go_one_further(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    _went_live(session.ledger, "a", "b", "c")
    locked = Session.locked

    def after_another(self: Session, *args: object, **kwargs: object) -> object:
        monkeypatch.setattr(Session, "locked", locked)
        Rollback(self, Report("rollback")).run()
        return locked(self, *args, **kwargs)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(Session, "locked", after_another)
    Rollback(session, Report("rollback"), wait_for_lock_seconds=5).run()
    live = read_history(session.ledger).live
    assert live is not None
    assert live.name == "b"


@pytest.mark.parametrize("damage", [b"{", b'{"schema": 2}'])
def test_what_was_contracted_is_not_guessed_from_a_damaged_record(session: Session, damage: bytes) -> None:
    _went_live(session.ledger, "a", "b")
    record = session.ledger.append(
        CONTRACTED, "b", {"backup": "x", "migrations": [["optifit", "0001_initial"]]}
    )
    name = f"{session.ledger.prefix}{record.seq:08d}.json"
    info = session.bucket.stat(name)
    assert info is not None
    session.bucket.put(name, damage, metadata=info.metadata)
    assert _refusal(lambda: _plan(session)) == ["deploy.L013"]
    assert _refusal(lambda: pinned_backups(session)) == ["deploy.L013"]


def test_a_bucket_that_fails_half_way_unpins_no_backup(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    _went_live(session.ledger, "a", "b")

    def down(_name: str) -> bytes:
        raise BucketError("503 from the store")

    monkeypatch.setattr(session.bucket, "read", down)
    assert _refusal(lambda: pinned_backups(session)) == ["deploy.L011"]


def test_what_was_prepared_before_a_rollback_is_no_candidate_after_it(session: Session) -> None:
    _went_live(session.ledger, "a")
    session.ledger.append(PREPARED, "stale", {})
    _went_live(session.ledger, "b")
    session.ledger.append(ROLLED_BACK, "b", {"to": "a"})
    history = read_history(session.ledger)
    assert history.live is not None
    assert history.live.name == "a"
    assert history.candidate() is None


def test_a_release_that_was_proved_beside_another_live_one_is_proved_again(session: Session) -> None:
    session = replace(session, identity=Identity("stale", ""))
    _went_live(session.ledger, "a")
    session.ledger.append(PREPARED, "stale", {"live_before": "a"})
    _went_live(session.ledger, "b")
    assert _refusal(Postdeploy(session, Report("postdeploy")).run) == ["deploy.L032"]


@pytest.mark.parametrize("command", ["predeploy", "postdeploy", "rollback"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_wait_that_is_no_time_is_a_usage_mistake(
    command: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["manage.py", command, f"--wait-for-lock={value}", "--format=json"]
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(argv).execute()
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["steps"][0]["findings"][0]["id"] == "deploy.R002"


def test_the_backups_of_a_release_that_was_begun_and_not_ended_are_pinned(session: Session) -> None:
    proof = {"step": "backup", "facts": {"backup": "of-an-old-failure"}}
    session.ledger.append(STARTED, "x", {})
    session.ledger.append(PROVED, "x", proof)
    session.ledger.append(FAILED, "x", {})
    _went_live(session.ledger, "a")
    session.ledger.append(STARTED, "b", {})
    session.ledger.append(PROVED, "b", {**proof, "facts": {"backup": "before-b"}})
    session.ledger.append(FAILED, "b", {})
    assert pinned_backups(session) == {"backup-of-a", "before-b"}
