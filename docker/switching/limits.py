"""How long each thing may take, in seconds. ROLLOUT_<NAME>_SECONDS in the environment changes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from .problems import NOT_USABLE

_LONGEST_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Limits:
    """All are limits except `drain`, which is waited in full.

    Attributes:
        docker: one question to the engine (inspect, ps, logs, image rm).
        compose: `up` of one container whose image is there.
        pull: the image over the network.
        predeploy: backup, restore, rehearsal and migrations; a 50 GB database takes an hour and a half.
        postdeploy: backup and contract migrations; also a rollback's database, which may restore.
        job: any other command in a container of its own, and the time until such a container says something.
        lock_wait: for a lock of somebody who lives. After a kill -9 it is `lock_wait_after_kill`: the dead
            owner's lock expires after DEPLOY["LOCK_TTL_SECONDS"] (60).
        start: from `up` to ready. The entrypoint waits 120 s for database and schema by itself
            (DEPLOY["WAIT_TIMEOUT_SECONDS"]), and the health check's start period is 150 s.
        smoke: the checklist, once.
        switch: for ten consecutive right answers after the rename.
        drain: between the switch and SIGTERM to the old colour. What Caddy had already looked up as old is
            sent within milliseconds; the rest is for clocks and busy machines. Requests in flight go on
            after SIGTERM, for gunicorn's graceful_timeout.
        stop: from SIGTERM to SIGKILL; longer than gunicorn's graceful_timeout (30) and not shorter than
            stop_grace_period of compose.gce.yaml.
    """

    docker: float = 60
    compose: float = 180
    pull: float = 900
    predeploy: float = 4 * 3600
    postdeploy: float = 4 * 3600
    job: float = 300
    lock_wait: float = 0
    lock_wait_after_kill: float = 90
    start: float = 180
    smoke: float = 180
    switch: float = 15
    drain: float = 5
    stop: float = 45


def read_limits(environment: Mapping[str, str]) -> Limits:
    """Limits with what `environment` changes.

    Raises:
        Problem: rollout.R002 for a value that is no number of seconds.
    """
    changed = {}
    for field in fields(Limits):
        name = f"ROLLOUT_{field.name.upper()}_SECONDS"
        if text := environment.get(name, ""):
            try:
                seconds = float(text)
            except ValueError:
                seconds = -1
            if not 0 <= seconds <= _LONGEST_SECONDS:
                raise NOT_USABLE(
                    what=name,
                    value=text,
                    reason="it is not a number of seconds from 0 to a week",
                    hint=f"{name}={getattr(Limits, field.name):g}",
                )
            changed[field.name] = seconds
    return Limits(**changed)
