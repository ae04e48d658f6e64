"""Waits until a container is ready, and says why when it is not: its last lines and the check that fails."""

from __future__ import annotations

import time

from .engine import Container, Engine
from .journal import Move
from .probes import Answer, ask_container
from .problems import NEVER_READY, NOT_STARTED, Problem

_PATH = {"backend": "/readyz", "frontend": "/version.json"}
_PAUSE_SECONDS = 0.25
# Docker starts it again after 0.1, 0.2, 0.4 s: the third end is no accident.
_TOO_MANY_RESTARTS = 3


def wait_until_ready(engine: Engine, move: Move) -> Container:
    """The container of `move`, once it says itself that it is ready.

    Asked directly: Docker's own health check looks every ten seconds only. Where the container's address
    can't be reached from here, that check decides.

    Raises:
        Problem: rollout.R023 when it does not stay up, rollout.R024 when its time is over.
    """
    seconds = engine.settings.limits.start
    until = time.monotonic() + seconds
    while True:
        found = engine.containers(move.service)
        container = found[0] if found else None
        answer = Answer(error="there is no container")
        if container and container.running:
            answer = _ask(engine, move, container)
            if _is_ready(move, container, answer):
                return container
        over = time.monotonic() >= until
        if container and (over or _has_failed(container)):
            raise _why(engine, move, container, answer, seconds)
        if over:
            raise NEVER_READY(
                service=move.service, release=move.release, seconds=seconds, check=answer.error, container=""
            )
        time.sleep(_PAUSE_SECONDS)


def _is_ready(move: Move, container: Container, answer: Answer) -> bool:
    if answer.status:
        wrong = move.part == "backend" and answer.release not in ("", move.release)
        return answer.status == 200 and not wrong
    return container.health == "healthy"


def _has_failed(container: Container) -> bool:
    ended = container.status in ("exited", "dead") and not container.error.startswith("restart")
    return container.restarts >= _TOO_MANY_RESTARTS or ended


def _why(engine: Engine, move: Move, container: Container, answer: Answer, seconds: float) -> Problem:
    evidence = engine.logs(container.id)
    if container.health_log:
        evidence += (f"health check: {container.health or 'none'}: {container.health_log[-300:]}",)
    if container.running and container.restarts < _TOO_MANY_RESTARTS:
        if answer.status == 200:
            check = f"it answers as release {answer.release!r}"
        else:
            check = f"{_PATH[move.part]} answers {answer.short}"
        return NEVER_READY(
            service=move.service,
            release=move.release,
            seconds=seconds,
            check=check,
            container=container.name,
            evidence=evidence,
        )
    state = f"{container.status}, exit code {container.exit_code}, started again {container.restarts} times"
    if container.error:
        state = f"{state}, {container.error}"
    return NOT_STARTED(
        service=move.service, release=move.release, state=state, container=container.name, evidence=evidence
    )


def _ask(engine: Engine, move: Move, container: Container) -> Answer:
    if not container.address:
        return Answer(error="it has no address yet")
    return ask_container(container.address, move.part, _PATH[move.part], engine.settings.public_host)
