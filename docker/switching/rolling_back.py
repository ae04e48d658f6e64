"""`rollback`: to the release before, or a named one, by the way that predeploy proved.

database (only to reverse or restore) → start the kept container → smoke → the rename → look → record →
drain. From the database stage on a killed one is finished, not undone: see decisions.py.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from . import decisions, moving
from .journal import Deployed, Move, Operation, now
from .problems import (
    EXIT_USAGE,
    IMPOSSIBLE,
    NOT_CONFIRMED,
    NOTHING_LIVE,
    SMOKE_AFTER,
    UNKNOWN_RELEASE,
    Interrupted,
    Problem,
)
from .withdrawing import close, withdraw
from .world import World

_DATABASE_WAYS = ("reverse", "restore")


@dataclass(frozen=True)
class BackRequest:
    """What was asked for. `release` "" for the one before; `yes_restore` names the release that goes."""

    release: str = ""
    frontend: bool = False
    reason: str = ""
    yes_restore: str = ""


@dataclass(frozen=True)
class Way:
    """How a rollback goes: what the ledger's verdict says, and which containers take over."""

    going: str
    target: str
    way: str
    moves: tuple[Move, ...]
    facts: Mapping[str, Any]


def plan(world: World, request: BackRequest) -> Way:
    """Ask the app in a container of the live release, and look which images this machine has for it.

    Raises:
        Problem: rollout.R004, rollout.R005, rollout.R022, rollout.R035.
    """
    live = world.live_now()
    if request.frontend:
        return _plan_frontend(world, live)
    if "backend" not in live:
        raise NOTHING_LIVE(part="backend")
    if request.release and not _known(world, "backend", request.release):
        raise UNKNOWN_RELEASE(release=request.release, known=", ".join(_releases(world)) or "none")
    with world.reporter.step("plan") as step:
        arguments = ["rollback", "--dry-run", *(("--to", request.release) if request.release else ())]
        seconds = world.settings.limits.job
        result = world.jobs.ask(live["backend"].image, arguments, seconds=seconds)
        facts = dict(result.step("plan"))
        if facts.get("way") == "impossible":
            problem = IMPOSSIBLE(reason=facts.get("reason") or result.reason)
            problem.exit_code = EXIT_USAGE if result.done.code == EXIT_USAGE else problem.exit_code
            raise problem
        world.jobs.require(result, "rollback --dry-run", seconds)
        way, target, going = (str(facts.get(name) or "") for name in ("way", "target", "release"))
        step.facts.update(way=way, going=going, target=target)
        for name in ("backup", "loss", "infrastructure", "migrations"):
            if facts.get(name):
                step.facts[name] = facts[name]
    moves: list[Move] = []
    if target and target != live["backend"].release:
        image = _known(world, "backend", target)
        if not image:
            raise UNKNOWN_RELEASE(release=target, known=", ".join(_releases(world)) or "none")
        moves.append(world.plan_move("backend", image, target))
        frontend = _frontend_with(world, target)
        if frontend and "frontend" in live and frontend.image != live["frontend"].image:
            moves.append(world.plan_move("frontend", frontend.image, frontend.release))
    return Way(going, target, way, tuple(moves), facts)


def run(world: World, request: BackRequest) -> str:
    """Do it; returns the verdict in a sentence.

    Raises:
        Problem: what went wrong; what can be undone is undone.
    """
    began = time.monotonic()
    world.alone()
    way = plan(world, request)
    if way.way == "restore" and request.yes_restore != way.going:
        lost = f"what was written since would be lost, {way.facts.get('loss') or 'nobody knows how much'}"
        backup = way.facts.get("backup") or "(unknown)"
        raise NOT_CONFIRMED(release=way.going, target=way.target, backup=backup, lost=lost)
    operation = Operation(
        id=uuid.uuid4().hex,
        command="rollback",
        state="planning",
        started=now(),
        release=way.target,
        going=way.going,
        moves=way.moves,
        ledger=not request.frontend,
        way=way.way,
        confirmed=request.yes_restore,
        reason=request.reason or "rollback by hand",
    )
    world.journal.save(operation=operation)
    with ExitStack() as stack:
        try:
            if operation.ledger:
                with world.reporter.step("deploy lock"):
                    wait = world.settings.limits.lock_wait
                    stack.enter_context(
                        world.jobs.deploy_lock(_going_image(world), way.going, wait_seconds=wait)
                    )
            smoke = resume(world, smoke=True)
        except (Problem, Interrupted) as error:
            raise withdraw(world, error) from error
    if smoke:
        raise SMOKE_AFTER(release=way.target, reason=smoke)
    _say_infrastructure(world, way)
    return f"release {way.target or 'before'} is live again after {time.monotonic() - began:.1f} s"


def resume(world: World, *, smoke: bool = False) -> str:
    """From the written state on to the end. With `smoke`, what the public smoke test says in the end.

    Raises:
        Problem: the state in which it stopped is written.
    """
    operation = world.journal.state.operation
    assert operation is not None  # noqa: S101 – for the type checker
    done = decisions.ROLLBACK_STATES.index(operation.state)
    moves = operation.moves
    if done <= decisions.ROLLBACK_STATES.index("database"):
        world.journal.enter("database")
        _database(world, operation)
    if moves and done <= decisions.ROLLBACK_STATES.index("asserting"):
        world.journal.enter("starting")
        moving.start(world, moves, kept=True)
        world.journal.enter("smoking")
        if operation.way != "restore":  # then users are kept out, and the checklist with them
            moving.smoke(world, moves)
        world.journal.enter("switching")
        moving.switch(world, moves)
        world.journal.enter("asserting")
        moving.look_through_proxy(world, moves)
    if done <= decisions.ROLLBACK_STATES.index("recording"):
        world.journal.enter("recording")
        _record(world, operation)
    said = _smoke(world, moves) if smoke else ""
    world.journal.enter("draining")
    moving.drain(world, moves)
    close(world, f"back from {operation.going}")
    return said


def _database(world: World, operation: Operation) -> None:
    with world.reporter.step("database") as step:
        step.facts["way"] = operation.way or "switch"
        if operation.way not in _DATABASE_WAYS:
            step.skipped = "the code of the release before knows this schema"
            return
        arguments = _arguments(operation, "database")
        if operation.way == "restore":
            arguments += ["--yes-restore", operation.confirmed]
        world.jobs.run(_going_image(world), arguments, seconds=world.settings.limits.postdeploy)


def _record(world: World, operation: Operation) -> None:
    with world.reporter.step("record") as step:
        if not operation.ledger:
            step.skipped = "the ledger is of the backend"
            return
        backend = next((move for move in operation.moves if move.part == "backend"), None)
        there = world.journal.deployed("backend", backend.before) if backend else None
        image = there.image if there else _going_image(world)
        world.jobs.run(image, _arguments(operation, "record"), seconds=world.settings.limits.job)


def _smoke(world: World, moves: Sequence[Move]) -> str:
    backend = next((move for move in moves if move.part == "backend"), None)
    try:
        if backend:
            moving.smoke_publicly(world, backend.image, backend.release)
    except Problem as problem:
        return problem.finding.message
    return ""


def _arguments(operation: Operation, stage: str) -> list[str]:
    arguments = ["rollback", "--release", operation.going, "--stage", stage, f"--reason={operation.reason}"]
    return [*arguments, "--to", operation.release] if operation.release else arguments


def _going_image(world: World) -> str:
    """The image that knows the migrations to undo: of the release that goes, also once traffic has moved."""
    operation = world.journal.state.operation
    backend = next((move for move in operation.moves if move.part == "backend"), None) if operation else None
    there = world.journal.deployed("backend", backend.before) if backend else None
    return there.image if there else world.live_now()["backend"].image


def _plan_frontend(world: World, live: Mapping[str, Deployed]) -> Way:
    if "frontend" not in live:
        raise NOTHING_LIVE(part="frontend")
    now_there = live["frontend"]
    for deployment in reversed(world.journal.state.deployments):
        there = deployment.parts.get("frontend")
        if there and there.image != now_there.image:
            move = world.plan_move("frontend", there.image, there.release)
            return Way(now_there.release, there.release, "switch", (move,), {})
    raise IMPOSSIBLE(reason=f"no frontend was live before {now_there.release}")


def _frontend_with(world: World, release: str) -> Deployed | None:
    """The frontend that was live last together with that release of the backend."""
    for deployment in reversed(world.journal.state.deployments):
        backend = deployment.parts.get("backend")
        if backend and backend.release == release:
            return deployment.parts.get("frontend")
    return None


def _known(world: World, part: str, release: str) -> str:
    """The image by which this machine last served the release, "" when it never did."""
    for deployment in reversed(world.journal.state.deployments):
        there = deployment.parts.get(part)
        if there and there.release == release:
            return there.image
    return ""


def _releases(world: World) -> list[str]:
    found: list[str] = []
    for deployment in reversed(world.journal.state.deployments):
        there = deployment.parts.get("backend")
        if there and there.release not in found:
            found.append(there.release)
    return found


def _say_infrastructure(world: World, way: Way) -> None:
    found = (way.facts.get("infrastructure") or {}).get("terraform_generation") or {}
    target, going = found.get("target"), found.get("release")
    if target and target != going:
        world.reporter.line(f"  Terraform state of release {way.target}: generation {target} (now {going}).")
        world.reporter.line("  It goes back by the infrastructure workflow, not by this command.")
