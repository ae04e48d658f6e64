"""`rollout`: from an image to a release that answers, one state of the journal after the other."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace

from . import moving
from .canary import MINIMUM_REQUESTS, AccessLog, is_enough, is_worse
from .journal import Move, Operation, now
from .names import BUCKETS, is_release
from .problems import CANARY_WORSE, NO_RELEASE_NAME, NOTHING_LIVE, OTHER_NAME, TOO_FEW, Interrupted, Problem
from .retention import remove_images
from .withdrawing import close, withdraw
from .world import World

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What was asked for. `canary_buckets` of 256, for `canary_seconds`; 0 for none."""

    backend: str = ""
    frontend: str = ""
    release: str = ""
    canary_buckets: int = 0
    canary_seconds: int = 0
    again: bool = False


@dataclass
class Rollout:
    """One run. Whatever raises between `begin` and `close` is withdrawn, then raised."""

    world: World
    request: Request

    def run(self) -> str:
        """Do it; returns the verdict in a sentence.

        Raises:
            Problem: what went wrong, once what could be undone is.
        """
        world, request = self.world, self.request
        if not request.backend and "backend" not in world.live_now():
            raise NOTHING_LIVE(part="backend")
        self._begin("pulling", ())
        with ExitStack() as stack:
            try:
                moves = self._pull()
                if self._is_live(moves):
                    close(world, "it was live already")
                    return f"{_names(moves)} is live already; --again starts it anew"
                self._lock(stack, moves)
                self._prove(moves)
                self._to_the_public(moves)
                finish(world)
            except (Problem, Interrupted) as error:
                raise withdraw(world, error) from error
        return f"{_names(moves)} is live"

    def _begin(self, state: str, moves: tuple[Move, ...]) -> None:
        operation = Operation(
            id=uuid.uuid4().hex,
            command="rollout",
            state=state,
            started=now(),
            release=self.request.release,
            moves=moves,
            ledger=bool(self.request.backend),
        )
        self.world.journal.save(operation=operation)

    def _pull(self) -> tuple[Move, ...]:
        world, moves = self.world, []
        wanted = {"backend": self.request.backend, "frontend": self.request.frontend}
        with world.reporter.step("pull") as step:
            world.alone()
            for part, image in wanted.items():
                if not image:
                    continue
                pulled = dict(world.journal.state.pulled)
                pulled[part] = (*(known for known in pulled.get(part, ()) if known != image), image)
                world.journal.save(pulled=pulled)
                world.engine.pull(image, world.reporter.job_line)
                moves.append(world.plan_move(part, image, self._release_of(part, image)))
                step.facts[part] = moves[-1].release
        world.reporter.release = moves[0].release
        return tuple(moves)

    def _release_of(self, part: str, image: str) -> str:
        label = self.world.engine.label(image) or ""
        asked = self.request.release if part == "backend" or not self.request.backend else ""
        if asked and label and asked != label:
            raise OTHER_NAME(label=label, release=asked)
        release = asked or label
        if not is_release(release):
            raise NO_RELEASE_NAME(part=part, label=label[:100])
        return release

    def _is_live(self, moves: tuple[Move, ...]) -> bool:
        live = self.world.live_now()
        same = all(move.part in live and live[move.part].image == move.image for move in moves)
        return same and not self.request.again

    def _lock(self, stack: ExitStack, moves: tuple[Move, ...]) -> None:
        """The bucket's lock, by the live release's image: that one is known to start."""
        world = self.world
        live = world.live_now().get("backend")
        backend = next((move for move in moves if move.part == "backend"), None)
        same = bool(backend and live and live.release == backend.release)
        world.journal.enter(
            "locking",
            moves=moves,
            release=moves[0].release,
            going=live.release if live else "",
            # The same release again changes nothing that the ledger tells.
            ledger=backend is not None and not same,
        )
        with world.reporter.step("deploy lock"):
            image = live.image if live else moves[0].image
            stack.enter_context(
                world.jobs.deploy_lock(
                    image, moves[0].release if backend else "", wait_seconds=world.settings.limits.lock_wait
                )
            )

    def _prove(self, moves: tuple[Move, ...]) -> None:
        operation = self.world.journal.enter("proving")
        with self.world.reporter.step("predeploy") as step:
            if not operation.ledger:
                step.skipped = "no new release of the backend"
                return
            limits = self.world.settings.limits
            self.world.jobs.run(moves[0].image, ["predeploy"], seconds=limits.predeploy)

    def _to_the_public(self, moves: tuple[Move, ...]) -> None:
        world = self.world
        world.journal.enter("starting")
        moving.start(world, moves)
        world.journal.enter("smoking")
        moving.smoke(world, moves)
        backend = next((move for move in moves if move.part == "backend"), None)
        if backend and backend.before and self.request.canary_buckets:
            world.journal.enter("canary")
            self._canary(backend)
        world.jobs.check_lock()
        world.journal.enter("switching")
        moving.switch(world, moves)
        world.journal.enter("asserting")
        moving.look_through_proxy(world, moves)
        world.journal.enter("smoking-public")
        if backend:
            moving.smoke_publicly(world, backend.image, backend.release)

    def _canary(self, move: Move) -> None:
        """Raises:
        Problem: rollout.R026 when the new release fails more than the one beside it.
        """
        world, log = self.world, AccessLog(self.world.settings.access_log)
        share = self.request.canary_buckets / BUCKETS
        with world.reporter.step(f"canary {share:.1%} for {self.request.canary_seconds} s") as step:
            log.begin()
            world.live.canary(self.request.canary_buckets)
            until = time.monotonic() + self.request.canary_seconds
            while True:
                log.read()
                new, old = log.of(move.colour), log.of(move.before)
                step.facts.update(
                    new_requests=new.requests,
                    new_5xx=new.errors,
                    old_requests=old.requests,
                    old_5xx=old.errors,
                )
                over = time.monotonic() >= until
                if is_worse(new, old) or (over and not is_enough(new)):
                    world.live.clear_canary()
                    container = world.engine.containers(move.service)
                    raise CANARY_WORSE(
                        new=new.requests,
                        new_errors=new.errors,
                        old=old.requests,
                        old_errors=old.errors,
                        container=move.service,
                        evidence=world.engine.logs(container[0].id) if container else (),
                    )
                if over:
                    break
                world.jobs.check_lock()
                time.sleep(_LOOK_SECONDS)
            world.live.clear_canary()
            if new.requests < MINIMUM_REQUESTS:
                step.add(TOO_FEW.finding("warning", new=new.requests, minimum=MINIMUM_REQUESTS))


def finish(world: World) -> None:
    """From the public smoke test on: stop the old colour, postdeploy, tidy. A rollout that was killed in it
    begins here again.

    Raises:
        Problem: what postdeploy says.
    """
    operation = world.journal.state.operation
    assert operation is not None  # noqa: S101 – for the type checker
    world.journal.enter("draining")
    moving.drain(world, operation.moves)
    world.journal.enter("finishing")
    backend = next((move for move in operation.moves if move.part == "backend"), None)
    with world.reporter.step("postdeploy") as step:
        if operation.ledger and backend:
            limits = world.settings.limits
            world.jobs.run(backend.image, ["postdeploy"], seconds=limits.postdeploy)
        else:
            step.skipped = "no new release of the backend"
    with world.reporter.step("tidy") as step:
        live = world.journal.with_deployment(world.live_now())
        state = replace(world.journal.state, deployments=live)
        try:
            pulled = remove_images(world.engine, state, step)
        except Problem as problem:
            step.add(replace(problem.finding, level="warning"))
            pulled = dict(state.pulled)
    close(world, "live", pulled=pulled)


def _names(moves: tuple[Move, ...]) -> str:
    return " and ".join(f"release {move.release} of the {move.part}" for move in moves)
