"""The way back of an operation that failed, was stopped, or was killed, as decisions.py says it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from . import decisions, moving
from .journal import Move, Operation, now
from .output import Step
from .problems import (
    DATABASE_IS_BACK,
    EXIT_REFUSED,
    EXIT_USAGE,
    FIRST_STAYS,
    INTERRUPTED,
    NOT_RECORDED,
    OLD_SMOKE,
    STAYED_AWAY,
    STAYS_LIVE,
    WAY_UNKNOWN,
    WENT_BACK,
    WITHOUT_JOURNAL,
    Interrupted,
    Problem,
)
from .readiness import wait_until_ready
from .world import World

_LONGEST_REASON = 300


def withdraw(world: World, error: BaseException) -> Problem:
    """Undo what can and must be undone after `error`; returns how it ended, to be raised.

    The deploy lock, if it was held, still is. Signals are held off: a way back is walked to its end.
    """
    world.signals.hold_off()
    operation = _operation(world)
    problem = _as_problem(operation, error)
    cause = "stopped" if isinstance(error, Interrupted) else "failed"
    decision = decisions.decide(operation, cause)
    if decision == decisions.ASK:
        decision, operation, problem = _ask(world, operation, problem)
    if decision == decisions.FORGET:
        close(world, problem.finding.message)
        return problem
    if decision == decisions.KEEP:
        return problem
    operation = replace(
        operation, failed_step=operation.state, reason=problem.finding.message[:_LONGEST_REASON]
    )
    return undo(world, operation, decision, problem)


def undo(world: World, operation: Operation, decision: str, problem: Problem) -> Problem:
    """Do the acts of STOP or BACK, and say how it ended. What fails on the way leaves the journal open."""
    name = "stopping" if decision == decisions.STOP else "going-back"
    with world.reporter.step("go back" if decision == decisions.BACK else "stop the new colour") as step:
        operation = replace(operation, state=name)
        _note(world, operation, step)
        try:
            for act in decisions.acts(operation, decision):
                _ACTS[act](world, operation, step)
        except Problem as trouble:
            step.failed = True
            return trouble
    verdict = _verdict(world, operation, decision, problem)
    try:
        close(world, verdict.finding.message)
    except Problem as trouble:  # a full disk: what is written leads here again, and all of it may be repeated
        world.reporter.finding(WITHOUT_JOURNAL.finding("warning", reason=trouble.finding.message))
    return verdict


def undo_traffic(world: World, operation: Operation, decision: str) -> None:
    """The acts that need nobody's lock, as far as they come first. They are done again by `undo`."""
    for act in decisions.acts(operation, decision):
        if act not in decisions.TRAFFIC_ACTS or act == "stop_new":
            return
        _ACTS[act](world, operation, Step(act))


def close(world: World, outcome: str, **changes: object) -> None:
    """The operation is over: nothing is left for `recover`."""
    operation = _operation(world)
    world.journal.save(
        operation=None,
        last={
            "command": operation.command,
            "release": operation.release,
            "state": operation.state,
            "ended": now(),
            "outcome": outcome,
        },
        deployments=world.journal.with_deployment(world.live_now()),
        **changes,
    )


def live_image(world: World, operation: Operation) -> str:
    """The image of the release that stays, to record with; of the new one when nothing was live before."""
    backend = _backend(operation)
    if backend is None or not backend.before:
        live = world.live_now().get("backend")
        return live.image if live else (backend.image if backend else "")
    there = world.journal.deployed("backend", backend.before)
    return there.image if there else backend.image


def _clear_canary(world: World, operation: Operation, step: Step) -> None:
    world.live.clear_canary()


def _start_old(world: World, operation: Operation, step: Step) -> None:
    """It runs unless it was drained already, or the machine was switched off."""
    for move in _old(world, operation):
        if not any(container.running for container in world.engine.containers(move.service)):
            step.facts[move.service] = "started again"
            if not world.engine.start_again(move.service, move.image):
                world.engine.up([move.service], world.images())
        wait_until_ready(world.engine, move)


def _switch_back(world: World, operation: Operation, step: Step) -> None:
    step.facts["moved"] = "yes" if moving.switch_back(world, operation.moves) else "it was there"


def _stop_new(world: World, operation: Operation, step: Step) -> None:
    for move in operation.moves:
        if world.live.colour(move.part) != move.colour:
            moving.stop(world, move.service, step)


def _smoke_old(world: World, operation: Operation, step: Step) -> None:
    """Through the proxy, and the checklist; what it finds is said and changes nothing."""
    try:
        old = tuple(_old(world, operation))
        moving.look_through_proxy(world, old)
        for move in old:
            if move.part == "backend":
                moving.smoke_publicly(world, move.image, move.release)
    except Problem as problem:
        step.add(OLD_SMOKE.finding("warning", reason=problem.finding.message))


def _reverse_database(world: World, operation: Operation, step: Step) -> None:
    backend = _backend(operation)
    if backend:
        arguments = _rollback_arguments(operation, "database")
        world.jobs.run(backend.image, arguments, seconds=world.settings.limits.postdeploy)


def _record_failed(world: World, operation: Operation, step: Step) -> None:
    """FAILED in the ledger. Best effort: without it the ledger says `started`, and the next goes on."""
    if not operation.release:
        return
    arguments = ["releases", "fail", operation.release, "--step", operation.failed_step]
    arguments += [f"--reason={operation.reason or 'no reason known'}"]
    image = live_image(world, operation)
    if not image:
        return
    try:
        world.jobs.run(image, arguments, seconds=world.settings.limits.job)
    except Problem as problem:
        what = f"release {operation.release} failed"
        step.add(NOT_RECORDED.finding("warning", what=what, reason=problem.finding.message))


def _record_back(world: World, operation: Operation, step: Step) -> None:
    """ROLLED_BACK in the ledger, by the new image or, when that can't, by the old one.

    Raises:
        Problem: rollout.R037: it must be told before the next deploy, so `recover` tries again.
    """
    backend = _backend(operation)
    if backend is None:
        return
    arguments = _rollback_arguments(operation, "record")
    for image in dict.fromkeys((backend.image, live_image(world, operation))):
        try:
            world.jobs.run(image, arguments, seconds=world.settings.limits.job)
        except Problem as problem:
            trouble = problem
        else:
            return
    what = f"release {operation.release} was taken back"
    reason = trouble.finding.message
    raise NOT_RECORDED(what=what, reason=reason, evidence=trouble.finding.evidence) from trouble


_ACTS = {
    "clear_canary": _clear_canary,
    "start_old": _start_old,
    "switch_back": _switch_back,
    "stop_new": _stop_new,
    "smoke_old": _smoke_old,
    "reverse_database": _reverse_database,
    "record_failed": _record_failed,
    "record_back": _record_back,
}


def _ask(world: World, operation: Operation, problem: Problem) -> tuple[str, Operation, Problem]:
    """Postdeploy failed. What did it change for good? The ledger's verdict says."""
    backend = _backend(operation)
    if backend is None or problem.exit_code != EXIT_REFUSED:
        return decisions.KEEP, operation, problem  # not the release's fault: the next run goes on
    try:
        arguments = ["rollback", "--dry-run", "--release", operation.release]
        result = world.jobs.ask(backend.image, arguments, seconds=world.settings.limits.job)
        plan = result.step("plan")
        reason = result.reason
    except Problem as trouble:
        plan, reason = {}, trouble.finding.message
    way = str(plan.get("way", ""))
    if way in ("abandon", "switch", "reverse") and plan.get("target") in (operation.going, ""):
        return decisions.BACK, replace(operation, way=way), problem
    if way in ("restore", "impossible"):
        stays = STAYS_LIVE(release=operation.release, step=operation.state, way=way)
        return decisions.FORGET, operation, stays
    return decisions.KEEP, operation, WAY_UNKNOWN(release=operation.release, reason=reason)


def _verdict(world: World, operation: Operation, decision: str, problem: Problem) -> Problem:
    backend = _backend(operation)
    live = world.live_now().get("backend" if backend else "frontend")
    names: dict[str, Any] = {
        "release": operation.release or "(not known yet)",
        "step": operation.failed_step,
        "live": f"release {live.release}" if live else "what was live",
        "container": _container(world, operation),
    }
    if operation.command == "rollback" and operation.way == "reverse":
        return DATABASE_IS_BACK(way=operation.way, target=operation.release, release=operation.going)
    if decision == decisions.STOP:
        verdict = STAYED_AWAY(**names)
        verdict.exit_code = problem.exit_code or EXIT_USAGE
        return verdict
    return WENT_BACK(**names) if any(move.before for move in operation.moves) else FIRST_STAYS(**names)


def _container(world: World, operation: Operation) -> str:
    """The name of what was stopped, for a line that shows its log."""
    if not operation.moves:
        return "NAME"
    service = operation.moves[0].service
    with suppress(Problem):  # Docker does not answer: the service's name has to do
        for container in world.engine.containers(service):
            return container.name
    return service


def _note(world: World, operation: Operation, step: Step) -> None:
    """Write that the way back is begun. A full disk must not stop it: the state before leads here as well."""
    try:
        world.journal.save(operation=operation)
    except Problem as trouble:
        step.add(WITHOUT_JOURNAL.finding("warning", reason=trouble.finding.message))


def _rollback_arguments(operation: Operation, stage: str) -> list[str]:
    arguments = ["rollback", "--release", operation.release, "--stage", stage]
    if operation.going:
        arguments += ["--to", operation.going]
    reason = f"{operation.failed_step}: {operation.reason}"
    return [*arguments, f"--reason={reason[:_LONGEST_REASON]}"]


def _old(world: World, operation: Operation) -> list[Move]:
    """What was live before, as moves to where it is."""
    found = []
    for move in operation.moves:
        there = world.journal.deployed(move.part, move.before) if move.before else None
        if there:
            found.append(Move(move.part, there.image, there.release, move.before, move.colour))
    return found


def _backend(operation: Operation) -> Move | None:
    return next((move for move in operation.moves if move.part == "backend"), None)


def _operation(world: World) -> Operation:
    operation = world.journal.state.operation
    assert operation is not None  # noqa: S101 – for the type checker; there is one until `close`
    return operation


def _as_problem(operation: Operation, error: BaseException) -> Problem:
    if isinstance(error, Problem):
        return error
    return INTERRUPTED(signal=getattr(error, "name", type(error).__name__), state=operation.state)
