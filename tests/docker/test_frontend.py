"""The frontend goes the same way: alone, or with the backend."""

from .machine import Machine, wait_for


def test_a_frontend_alone_needs_no_predeploy(served: Machine) -> None:
    served.rollout("--frontend", served.image("F1", "frontend"))
    assert served.public("/version.json") == "F1"
    served.rollout("--frontend", served.image("F2", "frontend"))
    assert served.public("/version.json") == "F2"
    assert served.public() == "A"
    assert served.ledger() == []
    assert not any(job.startswith(("predeploy", "smoketest")) for job in served.jobs())


def test_both_go_live_together_and_back_together(served: Machine) -> None:
    served.serve("F1", "blue", "frontend")
    served.proxy.broken["F2"] = 500
    output = served.rollout(served.image("B"), "--frontend", served.image("F2", "frontend"), expect=1)
    assert "rollout.R027" in output
    assert (served.public(), served.public("/version.json")) == ("A", "F1")
    served.proxy.broken.clear()
    served.rollout(served.image("C"), "--frontend", served.image("F3", "frontend"))
    assert (served.public(), served.public("/version.json")) == ("C", "F3")


def test_a_frontend_that_is_none_never_gets_a_request(served: Machine) -> None:
    served.serve("F1", "blue", "frontend")
    wait_for(lambda: served.public("/version.json") == "F1")
    output = served.rollout("--frontend", served.image("F2", "frontend", fault="not_json"), expect=1)
    assert "rollout.R025" in output
    assert served.public("/version.json") == "F1"


def test_no_frontend_before_a_backend(machine: Machine) -> None:
    assert "rollout.R004" in machine.rollout("--frontend", machine.image("F1", "frontend"), expect=2)
