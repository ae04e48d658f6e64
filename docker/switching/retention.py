"""Which images stay on the machine: of each part the last five that were live, and what a container has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .engine import Engine
from .journal import Deployment, State
from .output import Step
from .problems import NOT_REMOVED

KEPT_IMAGES = 5


def kept(part: str, deployments: Sequence[Deployment]) -> tuple[str, ...]:
    """The images of the part that were live last, newest first, each once."""
    found: list[str] = []
    for deployment in reversed(deployments):
        there = deployment.parts.get(part)
        if there and there.image not in found:
            found.append(there.image)
    return tuple(found[:KEPT_IMAGES])


def superfluous(state: State) -> Mapping[str, tuple[str, ...]]:
    """By part, the images that rollouts have pulled and that need not stay, in the order they came."""
    return {
        part: tuple(image for image in images if image not in kept(part, state.deployments))
        for part, images in state.pulled.items()
    }


def remove_images(engine: Engine, state: State, step: Step) -> dict[str, tuple[str, ...]]:
    """Remove the superfluous images that no container has; what is left of `pulled`, by part.

    Only what a rollout has pulled is ever removed. One that can't be is said and tried again next time.
    """
    left = {part: list(images) for part, images in state.pulled.items()}
    step.facts["removed"] = 0
    if not any(superfluous(state).values()):
        return dict(state.pulled)
    in_use = engine.images_in_use()
    removed = 0
    for part, images in superfluous(state).items():
        for image in images:
            identity = engine.image_id(image)
            if identity and identity in in_use:
                continue
            done = engine.docker("image", "rm", image) if identity else None
            if done is not None and not done.ok:
                step.add(NOT_REMOVED.finding("warning", image=image, reason=done.last))
                continue
            removed += done is not None
            left[part].remove(image)
    step.facts["removed"] = removed
    return {part: tuple(images) for part, images in left.items()}
