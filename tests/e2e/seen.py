"""What the clients of a load saw, judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .load import Answer


@dataclass(frozen=True)
class Change:
    """One rollout or rollback that succeeded: the moments (monotonic seconds) its command began and ended."""

    began: float
    ended: float
    old: str
    new: str


def failures(answers: Iterable[Answer]) -> Counter[str]:
    """How many requests were not answered as they should be, by what came instead."""
    return Counter(
        f"{answer.kind}: {answer.error or answer.status} ({answer.release or 'no release'})"
        for answer in answers
        if answer.failed
    )


def first_answer(answers: Iterable[Answer], change: Change) -> float:
    """When it was first there to see: the end of the new release's first answer, or of the command."""
    news = (
        answer.ended for answer in answers if answer.release == change.new and answer.begun >= change.began
    )
    return min(news, default=change.ended)


def wrong(answers: Sequence[Answer], changes: Sequence[Change]) -> list[Answer]:
    """Requests that the wrong release answered.

    One that began before a change must have the old release; one that began after *anybody* had an answer
    of the new release must have the new one. So the switch is judged to be one moment, by clients' clocks
    alone: nobody who has seen the new release ever sees the old one again.
    """
    found = []
    for number, change in enumerate(changes):
        until = changes[number + 1].began if number + 1 < len(changes) else float("inf")
        since = changes[number - 1].ended if number else 0.0
        switched = min(first_answer(answers, change), change.ended)
        for answer in answers:
            if not answer.release:
                continue  # failed: counted there
            early = since <= answer.begun and answer.ended < change.began and answer.release != change.old
            late = switched < answer.begun < until and answer.release != change.new
            if early or late:
                found.append(answer)
    return found


def percentile(answers: Iterable[Answer], share: float, *, since: float = 0, until: float = 0) -> float:
    """Latency in seconds of the requests due in [since, until), but for those that are slow by themselves.

    Raises:
        ValueError: there are none.
    """
    latencies = sorted(
        answer.latency
        for answer in answers
        if answer.kind != "slow" and since <= answer.due and (not until or answer.due < until)
    )
    if not latencies:
        raise ValueError("no requests were due in that time")
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]


def longest_outage(answers: Iterable[Answer]) -> float:
    """Seconds from the due time of the first failed request of a row to the first good answer after it."""
    longest, since = 0.0, None
    for answer in sorted(answers, key=lambda answer: answer.ended):
        if answer.failed:
            since = answer.due if since is None else min(since, answer.due)
        elif since is not None and answer.begun > since:
            longest, since = max(longest, answer.ended - since), None
    return longest
