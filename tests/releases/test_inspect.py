from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases import inspect
from deploy.releases.history import FAILED, LIVE, PREPARED, PROVED, STARTED, UNLOCKED
from deploy.releases.identity import Identity
from deploy.releases.ledger import Ledger
from deploy.releases.lock import DeployLock, read_lock
from deploy.releases.session import Session
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step


@pytest.fixture
def session(conf: DeployConf, bucket: LocalBucket, ledger: Ledger) -> Session:
    return Session(conf, bucket, bucket, ledger, Identity("r9", ""))


def test_the_list_is_newest_first_and_says_why_a_release_failed(session: Session) -> None:
    session.ledger.append(PREPARED, "a", {"verdict": "switch", "backup": "b1"})
    session.ledger.append(LIVE, "a", {})
    session.ledger.append(STARTED, "b", {})
    session.ledger.append(FAILED, "b", {"step": "gate", "findings": [{"id": "deploy.M003"}]})
    step = Step("list")
    inspect.list_releases(session, step, limit=20)
    rows = step.facts["releases"]
    assert [(row["release"], row["status"], row["why"]) for row in rows] == [
        ("b", "failed", "gate: deploy.M003"),
        ("a", "live", None),
    ]
    assert rows[1]["way_back"] == "switch"
    inspect.list_releases(session, short := Step("list"), limit=1)
    assert len(short.facts["releases"]) == 1
    assert short.facts["total"] == 2


def test_show_has_the_evidence(session: Session) -> None:
    session.ledger.append(
        PROVED, "a", {"step": "backup", "facts": {"backup": "b1"}, "seconds": 1.5, "findings": []}
    )
    session.ledger.append(PREPARED, "a", {"migrations": [["shop", "0001"]], "plan": "p"})
    step = Step("show")
    inspect.show_release(session, step, "a")
    assert step.facts["record"] == {"plan": "p", "migrations": 1}
    assert step.facts["proofs"][0]["facts"] == {"backup": "b1"}


def test_diff_names_the_migrations_that_came(session: Session) -> None:
    session.ledger.append(PREPARED, "a", {"migrations": [["shop", "0001"]], "commit": "c1"})
    session.ledger.append(PREPARED, "b", {"migrations": [["shop", "0001"], ["shop", "0002"]], "commit": "c2"})
    step = Step("diff")
    inspect.diff_releases(session, step, "a", "b")
    assert step.facts["migrations_added"] == ["shop.0002"]
    assert step.facts["migrations_removed"] == []
    assert step.facts["changed"] == [{"what": "commit", "a": "c1", "b": "c2"}]


def test_an_unknown_release_is_refused(session: Session) -> None:
    with pytest.raises(Refusal) as refused:
        inspect.show_release(session, Step("show"), "nope")
    assert [finding.id for finding in refused.value.findings] == ["deploy.L041"]


def test_nobody_holds_the_lock(session: Session) -> None:
    for act in (inspect.show_lock, lambda s, t: inspect.unlock(s, t, owner="x")):
        step = Step("lock")
        act(session, step)  # type: ignore[operator]
        assert [finding.id for finding in step.findings] == ["deploy.L061"]


def test_unlock_needs_the_owners_name_and_is_recorded(session: Session, conf: DeployConf) -> None:
    held = DeployLock(replace(conf, owner="bob@ci:2"), session.bucket, command="predeploy", release="r1")
    with held:
        inspect.show_lock(session, shown := Step("lock"))
        assert shown.facts["owner"] == "bob@ci:2"
        with pytest.raises(Refusal) as refused:
            inspect.unlock(session, Step("unlock"), owner="")
        assert [finding.id for finding in refused.value.findings] == ["deploy.L060"]
        assert read_lock(conf, session.bucket) is not None
        inspect.unlock(session, Step("unlock"), owner="bob@ci:2")
        assert read_lock(conf, session.bucket) is None
    assert [header.kind for header in session.ledger.headers()] == [UNLOCKED]
