"""Operations of Cloud SQL: begun once however often the answer is lost, and waited for with patience."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from deploy.reporting.facts import human_seconds
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .connection import (
    READ_RETRIES,
    Instance,
    code_of,
    errors,
    failed,
    finding_of,
    refusing,
    status_of,
)
from .findings import BUSY

_IN_PROGRESS = "operationInProgress"


class StillRunningError(Exception):
    """It was not over when the patience was."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look, and for how long."""

    poll_seconds: float
    wait_seconds: float


@dataclass(frozen=True)
class Admin:
    """One project's instances through the API.

    Attributes:
        service: the client. step: hears what is waited for.
        role: what a refused call would need. pause: sleeps so many seconds, or raises to end all waiting.
    """

    service: Any
    instance: Instance
    role: str
    pace: Pace
    step: Step
    pause: Callable[[float], None] = time.sleep

    def within(self, pace: Pace) -> Admin:
        """The same with at most this patience."""
        least = Pace(
            min(self.pace.poll_seconds, pace.poll_seconds), min(self.pace.wait_seconds, pace.wait_seconds)
        )
        return replace(self, pace=least)

    def read(self, request: Any, action: str) -> dict[str, Any]:
        """The answer to a request that changes nothing, retried. Raises Refusal."""
        with refusing(self.instance, action, self.role):
            answer: dict[str, Any] = request.execute(num_retries=READ_RETRIES)
        return answer

    def get(self, name: str, action: str) -> dict[str, Any]:
        """An instance. Raises Refusal (deploy.B087 when it is not there)."""
        request = self.service.instances().get(project=self.instance.project, instance=name)
        return self.read(request, action)

    def find(self, name: str, action: str) -> dict[str, Any] | None:
        """An instance, or None."""
        request = self.service.instances().get(project=self.instance.project, instance=name)
        with refusing(self.instance, action, self.role):
            try:
                found: dict[str, Any] = request.execute(num_retries=READ_RETRIES)
            except errors() as error:
                if status_of(error) == 404:
                    return None
                raise
        return found

    def begin(self, request: Any, action: str, *, was_done: Callable[[], bool], note: str) -> str:
        """Send a request that changes something until it is accepted.

        An instance that is busy is waited for. Where the answer is lost, or the service is overloaded,
        `was_done` says whether the request was carried out all the same: nothing is begun twice.

        Returns:
            The operation's name; empty when `was_done` said so.

        Raises:
            Refusal: deploy.B090 when it is still busy, B086 to B088 for another no.
        """
        began = time.monotonic()
        while True:
            try:
                return str(request.execute(num_retries=0)["name"])
            except errors() as error:
                last = error
            status, code = status_of(last), code_of(last)
            passing = code == _IN_PROGRESS or status == 429 or status >= 500 or status == 0
            if (passing or status == 409) and was_done():
                return ""
            if not passing or _is_about_credentials(last):
                raise Refusal(finding_of(last, self.instance, action, self.role)) from last
            elapsed = time.monotonic() - began
            if elapsed >= self.pace.wait_seconds:
                raise Refusal(self._gave_up(last, code, action, elapsed)) from last
            self._pause(elapsed, f"{note}: {self.instance} is not ready for it")

    def wait(self, operation: str, action: str, *, note: str) -> None:
        """Until the operation is over.

        Raises:
            StillRunningError: after `pace.wait_seconds`; it goes on.
            Refusal: deploy.B088 when it failed.
        """
        request = self.service.operations().get(project=self.instance.project, operation=operation)

        def is_over() -> bool:
            found = self.read(request, action)
            if problems := (found.get("error") or {}).get("errors"):
                reason = "; ".join(str(one.get("message") or one.get("code")) for one in problems)
                raise Refusal(failed(self.instance, action, reason.rstrip(".")))
            return bool(found.get("status") == "DONE")

        self.wait_until(is_over, note=note)

    def wait_until(self, is_over: Callable[[], bool], *, note: str) -> None:
        """Ask again and again. Raises StillRunningError after `pace.wait_seconds`."""
        began = time.monotonic()
        while not is_over():
            elapsed = time.monotonic() - began
            if elapsed >= self.pace.wait_seconds:
                raise StillRunningError(note)
            self._pause(elapsed, note)

    def _pause(self, elapsed: float, note: str) -> None:
        # Seconds that pass are no progress: a rate and a time left of them would mislead.
        waited, limit = human_seconds(elapsed), human_seconds(self.pace.wait_seconds)
        self.step.progress(0, note=f"{note}: waited {waited} of at most {limit}")
        self.pause(self.pace.poll_seconds)

    def _gave_up(self, error: Exception, code: str, action: str, elapsed: float) -> Any:
        if code != _IN_PROGRESS:
            return finding_of(error, self.instance, action, self.role)
        instance = self.instance
        return BUSY(
            instance=instance,
            project=instance.project,
            name=instance.name,
            action=action,
            seconds=round(elapsed),
        )


def _is_about_credentials(error: Exception) -> bool:
    from google.auth.exceptions import GoogleAuthError

    return isinstance(error, GoogleAuthError)
