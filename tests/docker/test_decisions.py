"""Every state of the journal has a decision for every cause, and the guide's table is the code's."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from switching import decisions
from switching.journal import Move, Operation

MOVE = Move("backend", "image", "B", "green", "blue")
OPERATION = Operation("1", "rollout", "pulling", "2026-01-01T00:00:00+00:00", "B", "A", (MOVE,))
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "roll-back.md"

# What is to be done after a kill or a power cut, after a step that failed, after SIGTERM.
ROLLOUT = {
    "pulling": ("forget", "stop", "forget"),
    "locking": ("forget", "forget", "forget"),
    "proving": ("stop", "stop", "stop"),
    "starting": ("stop", "stop", "stop"),
    "smoking": ("stop", "stop", "stop"),
    "canary": ("stop", "stop", "stop"),
    "switching": ("back", "back", "back"),
    "asserting": ("back", "back", "back"),
    "smoking-public": ("back", "back", "back"),
    "draining": ("finish", "keep", "keep"),
    "finishing": ("finish", "ask", "keep"),
    "stopping": ("stop", "stop", "stop"),
    "going-back": ("back", "back", "back"),
}
ROLLBACK = {
    "planning": ("forget", "forget", "forget"),
    "database": ("finish", "forget", "keep"),
    "starting": ("finish", "stop", "stop"),
    "smoking": ("finish", "stop", "stop"),
    "switching": ("finish", "back", "keep"),
    "asserting": ("finish", "back", "keep"),
    "recording": ("finish", "keep", "keep"),
    "draining": ("finish", "keep", "keep"),
    "stopping": ("stop", "stop", "stop"),
    "going-back": ("back", "back", "back"),
}
CASES = [
    (command, state, cause, wanted[number])
    for command, table in (("rollout", ROLLOUT), ("rollback", ROLLBACK))
    for state, wanted in table.items()
    for number, cause in enumerate(decisions.CAUSES)
]


@pytest.mark.parametrize(("command", "state", "cause", "wanted"), CASES)
def test_each_state_has_its_decision(command: str, state: str, cause: str, wanted: str) -> None:
    operation = replace(OPERATION, command=command, state=state)
    assert decisions.decide(operation, cause) == wanted


def test_no_state_is_forgotten() -> None:
    assert {*decisions.ROLLOUT_STATES, *decisions.UNDO_STATES} == ROLLOUT.keys()
    assert {*decisions.ROLLBACK_STATES, *decisions.UNDO_STATES} == ROLLBACK.keys()


def test_traffic_never_goes_back_onto_a_database_that_was_restored() -> None:
    operation = replace(OPERATION, command="rollback", state="asserting", way="restore")
    assert decisions.decide(operation, "failed") == "forget"
    assert decisions.decide(operation, "stopped") == "keep"
    assert decisions.decide(operation, "killed") == "finish"


def test_traffic_goes_back_before_the_new_colour_is_stopped() -> None:
    acts = decisions.acts(OPERATION, "back")
    assert (
        acts.index("start_old")
        < acts.index("switch_back")
        < acts.index("stop_new")
        < acts.index("record_back")
    )


def test_a_reversed_database_comes_before_traffic() -> None:
    acts = decisions.acts(replace(OPERATION, way="reverse"), "back")
    assert acts.index("reverse_database") < acts.index("switch_back")


def test_the_first_release_is_left_where_it_is() -> None:
    operation = replace(OPERATION, moves=(replace(MOVE, before=""),))
    assert decisions.acts(operation, "back") == ("clear_canary", "record_failed")


def test_the_ledger_is_not_told_of_a_frontend() -> None:
    operation = replace(OPERATION, ledger=False)
    for decision in ("stop", "back"):
        assert not any(act.startswith("record") for act in decisions.acts(operation, decision))


def test_the_guide_has_the_same_table() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (\w+) \| (\w+) \|", GUIDE.read_text(), re.MULTILINE)
    length = len(decisions.ROLLOUT_STATES)
    assert {row[0]: row[1:] for row in rows[:length]} == {s: ROLLOUT[s] for s in decisions.ROLLOUT_STATES}
    assert {row[0]: row[1:] for row in rows[length:]} == {s: ROLLBACK[s] for s in decisions.ROLLBACK_STATES}
