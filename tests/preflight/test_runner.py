from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from deploy.conf import DeployConf
from deploy.preflight import Check, available_checks, run_checks
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Step

FOUND = FindingType("deploy.P999", "error", "Something is wrong.", "Put it right.")


def check(named: str, body: Callable[[Step], None], *, is_fast: bool = False, limit: float = 5) -> Check:
    class Made(Check):
        name = named
        looks_at = "the test"
        fast = is_fast

        def limit_seconds(self, conf: DeployConf) -> float:
            return limit

        def run(self, conf: DeployConf, step: Step) -> None:
            body(step)

    return Made()


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a hung check waits for; set when the test is over, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


def nothing(step: Step) -> None:
    step.facts["ran"] = True


def ids(step: Step) -> list[str]:
    return [finding.id for finding in step.findings]


def test_steps_come_in_the_checks_order_and_are_told_as_they_finish(conf: DeployConf) -> None:
    told: list[str] = []
    checks = [check("slow", lambda _: time.sleep(0.2)), check("quick", nothing)]
    steps = run_checks(conf, checks=checks, on_finished=lambda step: told.append(step.name))
    assert [step.name for step in steps] == ["slow", "quick"]
    assert told == ["quick", "slow"]
    assert steps[0].seconds >= 0.2


def test_all_run_at_once(conf: DeployConf) -> None:
    together = threading.Barrier(6, timeout=5)
    steps = run_checks(conf, checks=[check(f"c{n}", lambda _: bool(together.wait())) for n in range(6)])
    assert all(step.ok for step in steps)


def test_a_hung_check_is_a_finding_and_holds_nobody(conf: DeployConf, never: threading.Event) -> None:
    began = time.monotonic()
    hung, fine = run_checks(
        conf, checks=[check("hung", lambda _: bool(never.wait()), limit=0.2), check("fine", nothing)]
    )
    assert time.monotonic() - began < 1
    assert ids(hung) == ["deploy.P002"]
    assert "0.2 seconds" in hung.findings[0].message
    assert "0.4" in hung.findings[0].hint
    assert fine.ok


def test_what_a_hung_check_says_later_is_not_heard(conf: DeployConf, never: threading.Event) -> None:
    def late(step: Step) -> None:
        never.wait()
        step.add(FOUND())

    (hung,) = run_checks(conf, checks=[check("late", late, limit=0.1)])
    never.set()
    time.sleep(0.1)
    assert ids(hung) == ["deploy.P002"]


def test_a_crash_is_a_finding_without_a_traceback(conf: DeployConf) -> None:
    def crash(step: Step) -> None:
        raise ZeroDivisionError("division\nby zero")

    (step,) = run_checks(conf, checks=[check("crash", crash)])
    assert ids(step) == ["deploy.P001"]
    assert step.findings[0].message.endswith("ZeroDivisionError: division")


def test_a_refusal_gives_its_findings(conf: DeployConf) -> None:
    def refuse(step: Step) -> None:
        raise Refusal(FOUND())

    (step,) = run_checks(conf, checks=[check("refuse", refuse)])
    assert ids(step) == ["deploy.P999"]
    assert not step.ok


@pytest.mark.django_db
def test_connections_of_a_check_are_closed(conf: DeployConf) -> None:
    opened: list[BaseDatabaseWrapper] = []

    def ask(step: Step) -> None:
        connections["default"].ensure_connection()
        opened.append(connections["default"])

    (step,) = run_checks(conf, checks=[check("ask", ask)])
    assert step.ok
    assert opened[0].connection is None


def test_only_those_asked_for(conf: DeployConf) -> None:
    steps = run_checks(conf, checks=[check("one", nothing), check("two", nothing)], only=["two"])
    assert [step.name for step in steps] == ["two"]


def test_fast_ones_for_the_start_hook(conf: DeployConf) -> None:
    checks = [check("one", nothing), check("two", nothing, is_fast=True)]
    assert [step.name for step in run_checks(conf, checks=checks, fast=True)] == ["two"]
    assert {each.name for each in available_checks() if each.fast} == {
        "configuration",
        "settings",
        "database",
    }


def test_skipped_with_its_reason(conf: DeployConf) -> None:
    (step,) = run_checks(conf, checks=[check("one", nothing)], skip=["one=the vendor = down"])
    assert step.skipped == "the vendor = down"
    assert step.facts == {}


@pytest.mark.parametrize("skip", ["one", "one=", "one= "])
def test_skipping_needs_a_reason(conf: DeployConf, skip: str) -> None:
    with pytest.raises(Refusal) as refused:
        run_checks(conf, checks=[check("one", nothing)], skip=[skip])
    assert [finding.id for finding in refused.value.findings] == ["deploy.P004"]
    assert refused.value.exit_code == 2


def test_unknown_name_has_the_nearest(conf: DeployConf) -> None:
    for arguments in ({"only": ["databse"]}, {"skip": ["databse=reason"]}):
        with pytest.raises(Refusal) as refused:
            run_checks(conf, **arguments)  # type: ignore[arg-type]  # two of its arguments, by name
        assert [finding.id for finding in refused.value.findings] == ["deploy.P003"]
        assert "Did you mean 'database'?" in refused.value.findings[0].message


@pytest.mark.django_db
def test_every_real_check_gives_an_answer_in_time(conf: DeployConf) -> None:
    conf = replace(conf, environment="local")
    steps = run_checks(conf)
    assert [step.name for step in steps] == [each.name for each in available_checks()]
    unexpected = {"deploy.P001", "deploy.P002"}
    assert not [finding for step in steps for finding in step.findings if finding.id in unexpected]
    assert all(step.ok for step in steps), [finding for step in steps for finding in step.findings]
