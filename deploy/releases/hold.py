"""`releases hold`: keep the deploy lock for a rollout whose steps run in processes of their own.

The rollout reads the token from our standard output, hands it to its steps as DEPLOY_LOCK_TOKEN, and writes
`release` to our standard input when it is done.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable

from deploy.conf import NAME
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Report

from .lock import DeployLock
from .session import Session

COMMAND_INVALID = FindingType(
    "deploy.L065",
    "error",
    "The command {command!r} is not a word of letters, digits, '.', '_' and '-', 100 at most.",
    "python manage.py releases hold --command rollout --release {release}",
)
LEFT_TO_EXPIRE = FindingType(
    "deploy.L066",
    "warning",
    "Standard input was closed before it said `release`: the deploy lock was left to expire in {ttl:.0f} s.",
    "If nothing of that rollout runs any more, go on at once: "
    "python manage.py releases unlock --yes-owner {owner!q}",
    why="A step of a rollout that was killed may still be writing. It stops when the heartbeats do, and only "
    "then may another deployer begin.",
)

_RELEASE = b"release"
_BEATS_PER_TTL = 4


def hold(
    session: Session,
    report: Report,
    *,
    command: str,
    wait_seconds: float,
    say: Callable[[str], None],
    told: int = 0,
) -> None:
    """Take the lock, `say` one JSON line with its token, and keep it until `told`, a descriptor, says so.

    The line `release` gives the lock back; the end of the input without it, or a signal, leaves the lock to
    expire.

    Raises:
        Refusal: deploy.L001 (exit code 75) when another holds it, deploy.L002 (75) when it was lost
            meanwhile, deploy.L065.
    """
    release = session.identity.name
    if not NAME.match(command):
        raise Refusal(COMMAND_INVALID(command=command, release=release))
    with session.holding(report, command, wait_seconds=wait_seconds) as lock, report.step("hold") as step:
        try:
            ttl = session.conf.lock_ttl_seconds
            say(json.dumps({"token": lock.token, "release": release, "ttl_seconds": ttl}))
            _keep(lock, told, ttl / _BEATS_PER_TTL)
        except _Closed:
            lock.leave()
            step.add(LEFT_TO_EXPIRE(ttl=ttl, owner=session.conf.owner))
        except BaseException:
            lock.leave()
            raise


class _Closed(Exception):  # noqa: N818 – a fact, not a fault
    """The input ended without `release`."""


def _keep(lock: DeployLock, told: int, every_seconds: float) -> None:
    """Return when `told` has said `release`; meanwhile notice a lost lock."""
    line = b""
    while True:
        readable, _, _ = select.select([told], [], [], every_seconds)
        lock.guard()
        if not readable:
            continue
        part = os.read(told, 4096)
        *lines, line = (line + part).split(b"\n")
        if any(one.strip() == _RELEASE for one in lines):
            return
        if not part:
            raise _Closed
