"""Runs the checks in parallel, each in a thread with a time limit that holds even when the check hangs."""

from __future__ import annotations

import difflib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db import connections

from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Step

from .bucket import BucketCheck, StaticBucketCheck
from .check import Check
from .client_tools import ClientToolsCheck
from .configuration import ConfigurationCheck
from .database import DatabaseCheck
from .django_checks import DjangoCheck
from .documents import DocumentsCheck
from .host import HostCheck
from .settings_leaks import SettingsCheck

CRASHED = FindingType(
    "deploy.P001",
    "error",
    "The check {name} stopped on an unexpected {kind}: {text}",
    "python manage.py preflight --only {name!q}",
)
TIMED_OUT = FindingType(
    "deploy.P002",
    "error",
    "The check {name} gave no answer within {seconds:g} seconds.",
    "See whether what it asks answers at all, or give it time: DEPLOY['CHECK_TIMEOUT_SECONDS'] = {more:g}",
    why="What hangs here would hang during the deploy too.",
)
UNKNOWN_CHECK = FindingType(
    "deploy.P003",
    "error",
    "There is no check {name!r}.{nearest}",
    "python manage.py preflight --list",
)
SKIP_WITHOUT_REASON = FindingType(
    "deploy.P004",
    "error",
    "The check {name} is to be skipped without a reason.",
    "python manage.py preflight --skip '{name}=why it does not matter now'",
    why="The reason is recorded with the release.",
)


def available_checks() -> tuple[Check, ...]:
    """Every check, in the report's order."""
    return (
        ConfigurationCheck(),
        SettingsCheck(),
        DjangoCheck(),
        DatabaseCheck(),
        ClientToolsCheck(),
        BucketCheck(),
        StaticBucketCheck(),
        HostCheck(),
        DocumentsCheck(),
    )


def run_checks(
    conf: DeployConf,
    *,
    fast: bool = False,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    checks: Iterable[Check] | None = None,
    on_finished: Callable[[Step], None] = lambda _step: None,
) -> list[Step]:
    """Run the checks; the whole takes as long as the slowest of them, at most its limit.

    Args:
        fast: only those that are fit for the start hook.
        only: names; all when empty.
        skip: `NAME=reason` each; such a check is a skipped step with the reason.
        checks: instead of `available_checks()`.
        on_finished: told of each step as soon as it is done, from this thread.

    Returns:
        A step for each check, in their order.

    Raises:
        Refusal: deploy.P003, deploy.P004.
    """
    known = tuple(available_checks() if checks is None else checks)
    reasons = _reasons(skip)
    _refuse_unknown((*only, *reasons), [check.name for check in known])
    chosen = [
        check for check in known if (check.name in only or not only) and (check.fast or not fast or only)
    ]
    steps = {check.name: Step(check.name) for check in chosen}
    for check in chosen:
        if check.name in reasons:
            steps[check.name].skip(reasons[check.name])
            on_finished(steps[check.name])
    steps.update(_run([check for check in chosen if check.name not in reasons], conf, on_finished))
    return [steps[check.name] for check in chosen]


def _run(
    checks: Sequence[Check], conf: DeployConf, on_finished: Callable[[Step], None]
) -> Mapping[str, Step]:
    answers: queue.SimpleQueue[Step] = queue.SimpleQueue()
    began = time.monotonic()
    for check in checks:
        # A daemon: a check that hangs in a system call can't be stopped, and must not hold the exit either.
        threading.Thread(
            target=_answer, args=(check, conf, answers), name=f"preflight-{check.name}", daemon=True
        ).start()
    waiting = {check.name: began + check.limit_seconds(conf) for check in checks}
    done: dict[str, Step] = {}
    while waiting:
        try:
            step = answers.get(timeout=max(0.0, min(waiting.values()) - time.monotonic()))
        except queue.Empty:
            for name in [name for name, deadline in waiting.items() if deadline <= time.monotonic()]:
                limit = waiting.pop(name) - began
                step = Step(name, seconds=limit)  # not the thread's own: it may still write to that
                step.add(TIMED_OUT(name=name, seconds=limit, more=limit * 2))
                done[name] = step
                on_finished(step)
            continue
        if waiting.pop(step.name, None) is not None:
            done[step.name] = step
            on_finished(step)
    return done


def _answer(check: Check, conf: DeployConf, answers: queue.SimpleQueue[Step]) -> None:
    step, began = Step(check.name), time.monotonic()
    try:
        check.run(conf, step)
    except Refusal as refusal:
        step.extend(refusal.findings)
    except Exception as error:  # noqa: BLE001 – whatever it is, it becomes this check's finding
        step.add(CRASHED(name=check.name, kind=type(error).__name__, text=_one_line(error)))
    finally:
        connections.close_all()  # those of this thread
    step.seconds = time.monotonic() - began
    answers.put(step)


def _reasons(skip: Iterable[str]) -> dict[str, str]:
    reasons = {}
    for item in skip:
        name, _, reason = item.partition("=")
        if not reason.strip():
            raise Refusal(SKIP_WITHOUT_REASON(name=name))
        reasons[name.strip()] = reason.strip()
    return reasons


def _refuse_unknown(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise Refusal(
                UNKNOWN_CHECK(name=name, nearest=f" Did you mean {near[0]!r}?" if near else ""),
            )


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["(no message)"])[0]
