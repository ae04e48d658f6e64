"""`recover`: what a kill or a power cut left is finished or undone. Every command begins with it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from . import decisions, deploying, rolling_back
from .journal import Operation
from .problems import KILLED, STATE_DAMAGED, Interrupted, Problem
from .withdrawing import close, live_image, undo, undo_traffic, withdraw
from .world import World


def recover(world: World, *, boot: bool = False, give_up: bool = False) -> str:
    """Put things right; returns what was done, "" for nothing. Traffic first, before any lock is waited for.

    Args:
        boot: also start what should be live and does not run.
        give_up: close what is open without telling the ledger; traffic stays where it is.

    Raises:
        Problem: what could not be put right; it stays for the next run.
    """
    operation = world.journal.state.operation
    done = ""
    if operation is None:
        world.live.clear_canary()
    elif give_up:
        close(world, "given up")
        done = f"The {operation.command} that was open at {operation.state} is closed; nothing was undone"
    else:
        done = _put_right(world, operation)
    if boot:
        with world.reporter.step("what is live runs") as step:
            world.ensure_base()
            step.facts["started"] = ", ".join(world.ensure_live()) or "nothing, all of it runs"
    return done


def _put_right(world: World, operation: Operation) -> str:
    try:
        decision = decisions.decide(operation, "killed")
    except KeyError as error:
        raise STATE_DAMAGED(
            path=world.journal.path, reason=f"there is no state {operation.state!r} of a {operation.command}"
        ) from error
    with world.reporter.step("recover") as step:
        step.facts["what"] = f"{operation.command} of {operation.release or 'an unknown release'}"
        step.facts["killed while"] = operation.state
        step.facts["so"] = decision
        undo_traffic(world, operation, decision)
        world.alone()
    if decision == decisions.FORGET:
        close(world, f"killed while {operation.state}; nothing had been begun")
    elif decision == decisions.FINISH:
        _finish(world, operation)
    else:
        _undo(world, operation, decision)
    return f"The {operation.command} that was killed while {operation.state}: {decision}"


def _undo(world: World, operation: Operation, decision: str) -> None:
    problem = KILLED(command=operation.command, state=operation.state)
    if not operation.failed_step:
        operation = replace(operation, failed_step=operation.state, reason=problem.finding.message)
    with ExitStack() as stack:
        if any(act.startswith(("record", "reverse")) for act in decisions.acts(operation, decision)):
            _lock(world, stack, operation)
        verdict = undo(world, operation, decision, problem)
    still_open = world.journal.state.operation
    if still_open is not None:
        raise verdict
    world.reporter.line(f"  {verdict.finding.message}")


def _finish(world: World, operation: Operation) -> None:
    with ExitStack() as stack:
        try:
            if operation.ledger:
                _lock(world, stack, operation)
            if operation.command == "rollout":
                deploying.finish(world)
            else:
                rolling_back.resume(world)
        except (Problem, Interrupted) as error:
            raise withdraw(world, error) from error


def _lock(world: World, stack: ExitStack, operation: Operation) -> None:
    """The dead rollout's lock has to expire first."""
    with world.reporter.step("deploy lock"):
        wait = world.settings.limits.lock_wait_after_kill
        image = live_image(world, operation)
        stack.enter_context(world.jobs.deploy_lock(image, operation.release, wait_seconds=wait))
