"""What is to be done about an operation that did not get to its end: a pure function of what was written.

The table in docs/how-to/roll-back.md is this one in words; a test holds them equal.
"""

from __future__ import annotations

from .journal import Operation

# In the order in which a rollout and a rollback go through them.
ROLLOUT_STATES = (
    "pulling",
    "locking",
    "proving",
    "starting",
    "smoking",
    "canary",
    "switching",
    "asserting",
    "smoking-public",
    "draining",
    "finishing",
)
ROLLBACK_STATES = (
    "planning",
    "database",
    "starting",
    "smoking",
    "switching",
    "asserting",
    "recording",
    "draining",
)
# A way back that was begun goes on.
UNDO_STATES = ("stopping", "going-back")

CAUSES = ("killed", "failed", "stopped")  # SIGKILL or a power cut; a step said no; SIGTERM or SIGINT

FORGET = "forget"  # nothing was begun that outlives the process
STOP = "stop"  # stop the new colour; traffic never moved
BACK = "back"  # traffic to the old colour, then stop the new one
FINISH = "finish"  # go on where it stopped
ASK = "ask"  # the database may have changed: the ledger's verdict tells the way
KEEP = "keep"  # leave it as it is; the next run finishes it

_ROLLOUT = {
    "pulling": (FORGET, STOP, FORGET),
    "locking": (FORGET, FORGET, FORGET),
    "proving": (STOP, STOP, STOP),
    "starting": (STOP, STOP, STOP),
    "smoking": (STOP, STOP, STOP),
    "canary": (STOP, STOP, STOP),
    "switching": (BACK, BACK, BACK),
    "asserting": (BACK, BACK, BACK),
    "smoking-public": (BACK, BACK, BACK),
    # The public smoke test is passed: the release is good, and what is left is tidying and postdeploy.
    "draining": (FINISH, KEEP, KEEP),
    "finishing": (FINISH, ASK, KEEP),
}
_ROLLBACK = {
    "planning": (FORGET, FORGET, FORGET),
    # The database stage is safe to repeat, and half of it is no state to stay in.
    "database": (FINISH, FORGET, KEEP),
    "starting": (FINISH, STOP, STOP),
    "smoking": (FINISH, STOP, STOP),
    "switching": (FINISH, BACK, KEEP),
    "asserting": (FINISH, BACK, KEEP),
    "recording": (FINISH, KEEP, KEEP),
    "draining": (FINISH, KEEP, KEEP),
}
_UNDO = {"stopping": STOP, "going-back": BACK}

STOP_ACTS = ("clear_canary", "stop_new", "record_failed")
BACK_ACTS = ("clear_canary", "start_old", "switch_back", "stop_new", "smoke_old", "record_back")
_REVERSED_ACTS = ("clear_canary", "reverse_database", *BACK_ACTS[1:])
_FIRST_ACTS = ("clear_canary", "record_failed")
# These need no lock of the bucket, and are done before it is waited for.
TRAFFIC_ACTS = frozenset({"clear_canary", "start_old", "switch_back", "stop_new"})


def decide(operation: Operation, cause: str) -> str:
    """FORGET, STOP, BACK, FINISH, ASK or KEEP, for one of CAUSES.

    Raises:
        KeyError: a state that there is not.
    """
    if operation.state in _UNDO:
        return _UNDO[operation.state]
    table = _ROLLOUT if operation.command == "rollout" else _ROLLBACK
    decision = table[operation.state][CAUSES.index(cause)]
    if decision in (BACK, STOP) and operation.command == "rollback" and operation.way == "restore":
        # The code that would take over again does not know the database that was restored.
        return KEEP if cause == "stopped" else FORGET
    return decision


def acts(operation: Operation, decision: str) -> tuple[str, ...]:
    """The acts of STOP and BACK in their order; each may be repeated. Empty for the others."""
    found: tuple[str, ...] = ()
    if decision == STOP:
        found = STOP_ACTS
    elif decision == BACK and all(not move.before for move in operation.moves):
        found = _FIRST_ACTS  # nothing was live before: better that it keeps running than nothing at all
    elif decision == BACK:
        found = _REVERSED_ACTS if operation.way == "reverse" and operation.command == "rollout" else BACK_ACTS
    silent = not operation.ledger or operation.command == "rollback"
    return tuple(act for act in found if not (silent and act.startswith("record")))
