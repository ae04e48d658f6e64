"""Is it up, is it the right release, does it say so on every page."""

from __future__ import annotations

from deploy.reporting.findings import FindingType
from deploy.reporting.report import Step

from .findings import (
    MIXED_RELEASES,
    NOT_LIVE,
    NOT_READY,
    NOT_STARTED,
    VERSION_UNREADABLE,
    WRONG_RELEASE,
    WRONG_RELEASE_HEADER,
)
from .probe import Context

# What a server looks like from outside; that deploy.health serves just these is for its tests to say.
LIVEZ, READYZ, STARTUPZ, VERSION = "/livez", "/readyz", "/startupz", "/version"
RELEASE_HEADER = "X-Release"

# Behind a balancer one answer proves one server: ask often enough to meet another one.
VERSION_ANSWERS = 5


def livez(context: Context, step: Step) -> None:
    """The process answers."""
    _expect_ok(context, step, LIVEZ, NOT_LIVE)


def readyz(context: Context, step: Step) -> None:
    """It reaches its database."""
    _expect_ok(context, step, READYZ, NOT_READY)


def startupz(context: Context, step: Step) -> None:
    """The schema it needs is there."""
    _expect_ok(context, step, STARTUPZ, NOT_STARTED)


def version(context: Context, step: Step) -> None:
    """Several answers in a row, each over a connection of its own, name the expected release."""
    names: list[str] = []
    for _ in range(VERSION_ANSWERS):
        answer = context.ask(VERSION)
        told = answer.json()
        name = told.get("release") if isinstance(told, dict) else None
        if answer.status != 200 or not isinstance(name, str):
            step.add(VERSION_UNREADABLE(status=answer.status, place=context.target.url))
            return
        names.append(name)
    found = sorted(set(names))
    step.facts.update(releases=found, answers=len(names))
    wrong = [name for name in names if name != context.release]
    if context.release is None:
        if len(found) > 1:
            step.add(MIXED_RELEASES(found=", ".join(found), place=context.target.url))
    elif wrong:
        step.add(
            WRONG_RELEASE(
                found=", ".join(sorted(set(wrong))),
                expected=context.release,
                wrong=len(wrong),
                asked=len(names),
                place=context.target.url,
            )
        )


def release_header(context: Context, step: Step) -> None:
    """A page of the application carries the release."""
    if context.release is None:
        step.skip("no release is expected: --release NAME or RELEASE names it")
        return
    path = context.conf.smoke_login_path
    found = context.page(path).headers.get(RELEASE_HEADER.lower())
    if found != context.release:
        step.add(
            WRONG_RELEASE_HEADER(path=path, found=found, expected=context.release, place=context.target.url)
        )


def _expect_ok(context: Context, step: Step, path: str, wrong: FindingType) -> None:
    # The run itself waits for a server that is starting, so one answer is asked for at a time.
    answer = context.ask(path, retry=False)
    step.facts["status"] = answer.status
    if answer.status != 200:
        step.add(wrong(status=answer.status, place=context.target.url))
