"""Runs the checklist: first until the server is up, then everything else at once, all within one limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from deploy.conf import DeployConf
from deploy.reporting.report import Step

from .exchange import ProbeStopped
from .findings import STOPPED, TIMED_OUT
from .probe import STARTING, Context, Probe
from .probes import PROBES
from .target import Target, parse_target

WAIT_SHARE = 0.75
"""The share of the limit that waiting for the server may use up; the rest is the other probes'."""
WAIT_PAUSE_SECONDS = 0.25


def run_probes(
    conf: DeployConf,
    url: str,
    *,
    release: str | None,
    host: str | None = None,
    resolve: str | None = None,
    behind_proxy: bool = False,
    timeout_seconds: float | None = None,
    probes: Sequence[Probe] = PROBES,
) -> list[Step]:
    """One step for every probe, in the checklist's order; never longer than `timeout_seconds` (default:
    `conf.smoke_timeout_seconds`).

    A server that is starting (connection refused, 502 to 504) is waited for; when it does not come up, the
    probes that need it are skipped and say so.

    Probes that wait stand first in `probes`.

    Raises:
        Refusal: deploy.S001, exit code 2, when the address is not usable.
    """
    target = parse_target(url, host=host, resolve=resolve, behind_proxy=behind_proxy)
    limit = timeout_seconds or conf.smoke_timeout_seconds
    context = Context(conf, target, release, time.monotonic() + limit)
    waited: list[Step] = []
    coming = replace(context, deadline=time.monotonic() + limit * WAIT_SHARE)
    for probe in (probe for probe in probes if probe.waits):
        step, starting = _wait_for(probe, coming)
        waited.append(step)
        if starting:
            reason = f"the server did not come up: {step.findings[0].message}"
            return waited + [_skipped(probe, reason) for probe in probes[len(waited) :]]
    rest = [probe for probe in probes if not probe.waits]
    return waited + [step for step, _ in _all_at_once(rest, context)]


def _wait_for(probe: Probe, context: Context) -> tuple[Step, bool]:
    """The probe's last step, and whether the server still seems to be starting when the time is up."""
    began = time.monotonic()
    while True:
        [(step, starting)] = _all_at_once([probe], context)
        starting = starting or step.facts.get("status") in STARTING
        step.seconds = time.monotonic() - began
        if not starting or time.monotonic() + WAIT_PAUSE_SECONDS >= context.deadline:
            return step, starting
        time.sleep(WAIT_PAUSE_SECONDS)


def _look(probe: Probe, context: Context) -> tuple[Step, bool]:
    step = Step(probe.name)
    began = time.monotonic()
    starting = False
    try:
        probe.look(context, step)
    except ProbeStopped as stopped:
        step.add(stopped.finding)
        starting = stopped.starting
    except Exception as error:  # noqa: BLE001 – one probe's fault becomes its finding; the others go on
        step.add(
            STOPPED(kind=type(error).__name__, text=error, url=context.target.url, place=context.target.url)
        )
    step.seconds = time.monotonic() - began
    return step, starting


def _all_at_once(probes: Sequence[Probe], context: Context) -> list[tuple[Step, bool]]:
    done: dict[str, tuple[Step, bool]] = {}

    def run(probe: Probe) -> None:
        done[probe.name] = _look(probe, context)

    began = time.monotonic()
    # Daemon threads: what hangs in spite of every limit must not keep the command from ending.
    threads = [
        threading.Thread(target=run, args=(probe,), name=f"smoke {probe.name}", daemon=True)
        for probe in probes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, context.deadline - time.monotonic()))
    seconds = time.monotonic() - began
    return [done.get(probe.name) or (_overdue(probe, context.target, seconds), True) for probe in probes]


def _overdue(probe: Probe, target: Target, seconds: float) -> Step:
    step = Step(probe.name, seconds=seconds)
    step.add(TIMED_OUT(path=f"The probe {probe.name!r}", seconds=round(seconds, 1), place=target.url))
    return step


def _skipped(probe: Probe, reason: str) -> Step:
    step = Step(probe.name)
    step.skip(reason)
    return step
