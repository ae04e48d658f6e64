"""`status`: what is live, what is kept, and what is open. Looks only."""

from __future__ import annotations

from typing import Any

from . import decisions
from .names import BUCKETS, COLOURS, PARTS
from .problems import Problem
from .retention import kept
from .world import World


def gather(world: World) -> dict[str, Any]:
    """All of it as JSON-like data."""
    state = world.journal.load()
    parts: dict[str, Any] = {}
    for part in PARTS:
        live = world.live.colour(part)
        for colour in COLOURS:
            there = world.journal.deployed(part, colour)
            if there is None:
                continue
            container, trouble = None, ""
            try:
                containers = world.engine.containers(f"{part}-{colour}")
                container = containers[0] if containers else None
            except Problem as problem:
                trouble = problem.finding.message
            parts[f"{part}-{colour}"] = {
                "live": colour == live,
                "release": there.release,
                "image": there.image,
                "container": container.name if container else None,
                "status": container.status if container else trouble or "no container",
                "health": container.health if container else "",
            }
    operation = state.operation
    return {
        "services": parts,
        "canary_share": round(world.live.canary_buckets() / BUCKETS, 4),
        "open": None
        if operation is None
        else {
            "command": operation.command,
            "release": operation.release,
            "state": operation.state,
            "started": operation.started,
            "if_killed": decisions.decide(operation, "killed"),
        },
        "last": dict(state.last),
        "kept": {part: list(kept(part, state.deployments)) for part in PARTS},
        "releases": [
            {"at": one.at, **{part: there.release for part, there in one.parts.items()}}
            for one in reversed(state.deployments[-10:])
        ],
    }


def show(world: World) -> dict[str, Any]:
    """Gather it and say it in lines."""
    found = gather(world)
    line = world.reporter.line
    if not found["services"]:
        line("Nothing was rolled out on this machine yet.")
    for service, one in found["services"].items():
        mark = "LIVE" if one["live"] else "kept"
        health = f", {one['health']}" if one["health"] else ""
        line(f"{mark}  {service:<14} {one['status']}{health}")
        line(f"      release {one['release']}")
        line(f"      {one['image']}")
    if found["canary_share"]:
        line(f"canary: {found['canary_share']:.1%} of the backend's requests go to the other colour")
    if found["open"]:
        one = found["open"]
        line(f"open: {one['command']} of {one['release'] or '?'}, {one['state']}, since {one['started']}")
        line(f"      if it was killed, recover will: {one['if_killed']}")
    if found["last"]:
        one = found["last"]
        line(f"last: {one['command']} of {one['release'] or '?'}, {one['ended']}: {one['outcome']}")
    if found["releases"]:
        line("live before, newest first:")
    for one in found["releases"]:
        frontend = f", frontend {one['frontend']}" if "frontend" in one else ""
        line(f"      {one['at']}  {one.get('backend', '-')}{frontend}")
    return found
