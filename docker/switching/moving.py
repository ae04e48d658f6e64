"""The steps that a rollout and a rollback share: start, smoke, switch, look through the proxy, drain."""

from __future__ import annotations

import time

from .journal import Move
from .output import Step
from .probes import Answer, ask_container, ask_proxy, frontend_trouble
from .problems import FRONTEND_BAD, NOT_SEEN, NOT_STOPPED
from .readiness import wait_until_ready
from .world import World

ANSWERS_IN_A_ROW = 10
_PAUSE_SECONDS = 0.05


def start(world: World, moves: tuple[Move, ...], *, kept: bool = False) -> None:
    """Start the idle colours and wait until they are ready. `kept`: as they were, where they are still there.

    Raises:
        Problem: rollout.R007, rollout.R008, rollout.R023, rollout.R024.
    """
    with world.reporter.step(f"start {', '.join(move.service for move in moves)}") as step:
        world.ensure_base()
        for move in moves:
            world.journal.save(colours=world.journal.with_deployed(move))
        anew = [
            move.service
            for move in moves
            if not (kept and world.engine.start_again(move.service, move.image))
        ]
        if anew:
            world.engine.up(anew, world.images(moves[0].image))
        for move in moves:
            container = wait_until_ready(world.engine, move)
            step.facts[move.service] = container.name


def smoke(world: World, moves: tuple[Move, ...]) -> None:
    """Ask the new containers, which no request of a user reaches yet.

    Raises:
        Problem: rollout.R022, rollout.R025, rollout.R011.
    """
    for move in moves:
        with world.reporter.step(f"smoke {move.service}"):
            if move.part == "frontend":
                smoke_frontend(world, move)
            else:
                world.jobs.run(
                    move.image,
                    [
                        "smoketest",
                        f"http://{move.service}:8000",
                        "--release",
                        move.release,
                        "--host",
                        world.settings.public_host,
                        "--behind-proxy",
                    ],
                    seconds=world.settings.limits.smoke,
                )


def smoke_frontend(world: World, move: Move) -> Answer:
    """Its first page and its version.json; returns the latter.

    Raises:
        Problem: rollout.R025.
    """
    containers = world.engine.containers(move.service)
    address = containers[0].address if containers else ""
    host = world.settings.public_host
    page = ask_container(address, move.part, "/", host) if address else Answer(error="it has no address")
    version = ask_container(address, move.part, "/version.json", host) if address else page
    if trouble := frontend_trouble(page, version):
        name = containers[0].name if containers else move.service
        evidence = world.engine.logs(name, 10) if containers else ()
        raise FRONTEND_BAD(service=move.service, reason=trouble, container=name, evidence=evidence)
    return version


def smoke_publicly(world: World, image: str, release: str) -> None:
    """The checklist against the public address.

    Raises:
        Problem: rollout.R022, rollout.R011.
    """
    with world.reporter.step("smoke publicly") as step:
        step.facts["url"] = world.settings.public_url
        world.jobs.run(
            image,
            ["smoketest", world.settings.public_url, "--release", release],
            seconds=world.settings.limits.smoke,
        )


def switch(world: World, moves: tuple[Move, ...]) -> None:
    """The renames: the backend first, because a new frontend may need it."""
    with world.reporter.step("switch") as step:
        world.jobs.check_lock()
        for move in sorted(moves, key=lambda move: move.part):
            began = time.monotonic()
            world.live.switch(move.part, move.colour)
            step.facts[move.part] = f"{move.before or 'nothing'} to {move.colour}"
            step.facts[f"{move.part}_switch_seconds"] = round(time.monotonic() - began, 4)


def switch_back(world: World, moves: tuple[Move, ...]) -> bool:
    """The renames the other way round, the frontend first; whether anything had been moved.

    A part of which nothing was live before stays where it is.
    """
    moved = [
        world.live.switch(move.part, move.before)
        for move in sorted(moves, key=lambda move: move.part, reverse=True)
        if move.before
    ]
    return any(moved)


def look_through_proxy(world: World, moves: tuple[Move, ...]) -> None:
    """Ten answers in a row, each on a connection of its own, come from what was switched to.

    Raises:
        Problem: rollout.R027.
    """
    with world.reporter.step("look through the proxy") as step:
        for move in moves:
            wanted = smoke_frontend(world, move).digest if move.part == "frontend" else ""
            step.facts[f"{move.part}_answers"] = _in_a_row(world, move, wanted)


def _in_a_row(world: World, move: Move, digest: str) -> int:
    seconds = world.settings.limits.switch
    until = time.monotonic() + seconds
    path = "/version.json" if move.part == "frontend" else "/version"
    good = asked = 0
    wrong: Answer | None = None
    while good < ANSWERS_IN_A_ROW:
        answer = ask_proxy(world.settings, path)
        asked += 1
        if _is_right(move, digest, answer):
            good += 1
            continue
        good, wrong = 0, answer
        if time.monotonic() >= until:
            where = f", from {answer.colour} as {answer.release!r}" if answer.status else ""
            raise NOT_SEEN(
                release=move.release,
                wanted=ANSWERS_IN_A_ROW,
                seconds=seconds,
                seen=f"{asked} asked, the last wrong one: {wrong.short}{where}",
                url=f"https://{world.settings.public_host}{path}",
            )
        time.sleep(_PAUSE_SECONDS)
    return asked


def _is_right(move: Move, digest: str, answer: Answer) -> bool:
    if answer.status != 200 or answer.colour not in ("", move.colour):
        return False
    return answer.digest == digest if move.part == "frontend" else answer.release == move.release


def drain(world: World, moves: tuple[Move, ...]) -> None:
    """Let the old colours finish what they have begun, and stop them. They are kept for the way back."""
    services = [f"{move.part}-{move.before}" for move in moves if move.before]
    with world.reporter.step("drain and stop the old colour") as step:
        if not services:
            step.skipped = "nothing was live before"
            return
        time.sleep(world.settings.limits.drain)
        for service in services:
            stop(world, service, step)


def stop(world: World, service: str, step: Step) -> None:
    """Stop the service's containers; one that can't be stopped is a warning, nobody's requests go there."""
    for container in world.engine.containers(service):
        if container.status in ("exited", "created"):
            continue
        done = world.engine.stop(container.id, world.settings.limits.stop)
        step.facts[service] = "stopped"
        if not done.ok:
            step.add(NOT_STOPPED.finding("warning", container=container.name, reason=done.last))
