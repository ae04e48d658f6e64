"""SIGKILL of rollout at every state, and a power cut: the next run finishes or undoes what it finds."""

import os
import signal

import pytest

from .machine import Machine, wait_for

# The release that is live when the next run is over.
AFTER_ROLLOUT = {
    "pulling": "A",
    "locking": "A",
    "proving": "A",
    "starting": "A",
    "smoking": "A",
    "switching": "A",
    "asserting": "A",
    "smoking-public": "A",
    "draining": "B",
    "finishing": "B",
    "done": "B",
}


@pytest.fixture
def hurried(served: Machine) -> Machine:
    served.environment["ROLLOUT_LOCK_WAIT_AFTER_KILL_SECONDS"] = "30"
    return served


@pytest.mark.parametrize("state", AFTER_ROLLOUT)
def test_a_rollout_killed_before_its_act(hurried: Machine, state: str) -> None:
    live = AFTER_ROLLOUT[state]
    hurried.kill_at(state, "after", "rollout", hurried.image("B"))
    assert hurried.public() in ("A", "B")  # at no moment nobody
    code, output = hurried.run("recover")
    assert code == 0, output
    assert hurried.public() == live
    assert hurried.journal()["operation"] is None
    assert ("backend-green" in hurried.running()) == (live == "B")
    assert ("backend-blue" in hurried.running()) == (live == "A")
    if state not in ("pulling", "locking"):  # what the ledger was never told of needs no end
        assert hurried.ledger()[-1] in {"A": ("failed B", "back-record B"), "B": ("live B",)}[live]


@pytest.mark.parametrize("state", ["asserting", "finishing"])
def test_a_rollout_killed_after_its_act(hurried: Machine, state: str) -> None:
    """The act of the state before is done, and the next state is not written yet."""
    hurried.kill_at(state, "before", "rollout", hurried.image("B"))
    assert hurried.public() == "B"
    hurried.run("recover")
    assert hurried.public() == ("A" if state == "asserting" else "B")
    assert hurried.journal()["operation"] is None


def test_the_next_rollout_puts_right_what_it_finds_and_goes_on(hurried: Machine) -> None:
    hurried.kill_at("asserting", "after", "rollout", hurried.image("B"))
    output = hurried.rollout(hurried.image("C"))
    assert "killed while asserting" in output
    assert hurried.public() == "C"
    assert hurried.ledger() == ["prepared B", "back-record B", "prepared C", "live C"]


@pytest.mark.parametrize(("state", "fault"), [("stopping", "smoke_fails"), ("going-back", "public_fails")])
def test_a_way_back_that_was_killed_goes_on(hurried: Machine, state: str, fault: str) -> None:
    hurried.kill_at(state, "after", "rollout", hurried.image("B", fault=fault))
    code, output = hurried.run("recover")
    assert code == 0, output
    assert hurried.public() == "A"
    assert hurried.ledger()[-1] in ("failed B", "back-record B")
    assert "backend-green" not in hurried.running()


@pytest.mark.parametrize(
    ("job", "where"), [("predeploy", "proving"), ("up-backend", "starting"), ("postdeploy", "finishing")]
)
def test_killed_in_the_middle_of_a_job(hurried: Machine, job: str, where: str) -> None:
    hurried.fault(job, hang=2, once=True)  # it goes on when rollout is dead, as a container does
    process = hurried.start(hurried.argv("rollout", hurried.image("B")))
    wait_for((hurried.stand_in / f"hangs-{job}").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert hurried.journal()["operation"]["state"] == where
    code, output = hurried.run("recover")
    assert code == 0, output
    assert hurried.public() == ("B" if where == "finishing" else "A")
    assert "job" not in hurried.running()
    assert ("backend-green" in hurried.running()) == (where == "finishing")


@pytest.mark.parametrize("state", ["starting", "asserting", "finishing"])
def test_a_power_cut(hurried: Machine, state: str) -> None:
    hurried.kill_at(state, "after", "rollout", hurried.image("B"))
    hurried.power_cut()
    code, output = hurried.run("recover")  # docker/optifit-recover.service
    assert code == 0, output
    good = "B" if state == "finishing" else "A"
    wait_for(lambda: hurried.public() == good)  # the container that was cut off starts again


def test_recover_starts_what_should_be_live(served: Machine) -> None:
    served.power_cut()
    assert served.public() == ""
    code, output = served.run("recover")
    assert code == 0, output
    wait_for(lambda: served.public() == "A")


def test_recover_twice_does_nothing_the_second_time(hurried: Machine) -> None:
    hurried.kill_at("switching", "after", "rollout", hurried.image("B"))
    hurried.run("recover")
    ledger = hurried.ledger()
    assert "nothing was open" in hurried.run("recover")[1]
    assert hurried.ledger() == ledger


def test_giving_up_closes_it_and_leaves_traffic(hurried: Machine) -> None:
    hurried.kill_at("asserting", "after", "rollout", hurried.image("B"))
    code, output = hurried.run("recover", "--give-up")
    assert code == 0, output
    assert hurried.public() == "B"
    assert hurried.journal()["operation"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_failure_of_the_step_it_meets(served: Machine, number: int) -> None:
    served.fault("smoketest", hang=60)
    process = served.start(served.argv("rollout", served.image("B")))
    wait_for((served.stand_in / "hangs-smoketest").exists)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert served.public() == "A"
    assert "job" not in served.running()  # its container was stopped too
    assert "backend-green" not in served.running()
    assert served.ledger()[-1] == "failed B"


def test_a_lost_connection_stops_nothing(served: Machine) -> None:
    served.fault("predeploy", hang=1, once=True)
    process = served.start(served.argv("rollout", served.image("B")))
    wait_for((served.stand_in / "hangs-predeploy").exists)
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert served.public() == "B"


AFTER_ROLLBACK = {
    "planning": "B",
    "database": "A",
    "starting": "A",
    "smoking": "A",
    "switching": "A",
    "asserting": "A",
    "recording": "A",
    "draining": "A",
}


@pytest.mark.parametrize("state", AFTER_ROLLBACK)
def test_a_rollback_that_was_killed_is_finished(hurried: Machine, state: str) -> None:
    hurried.serve("B", "green")
    wait_for(lambda: hurried.public() == "B")
    hurried.write("plan.json", {"way": "reverse", "release": "B", "target": "A"})
    hurried.kill_at(state, "after", "rollback")
    code, output = hurried.run("recover")
    assert code == 0, output
    assert hurried.public() == AFTER_ROLLBACK[state]
    assert hurried.journal()["operation"] is None
    if state != "planning":
        assert hurried.ledger()[-1] == "back-record B"
        assert "back-database B" in hurried.ledger()
        assert "backend-green" not in hurried.running()
