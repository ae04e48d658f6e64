"""The report: what a command did, as a named, timed list of steps. One report, many renderers.

The JSON form is a contract, the same for every command (schema 1):

    {"schema": 1, "command": str, "release": str|null, "ok": bool, "exit_code": int, "started": iso8601,
     "seconds": float, "steps": [{"name": str, "ok": bool, "skipped": str|null, "seconds": float,
     "facts": {...}, "findings": [{"id", "level", "message", "hint", "place"}]}]}

In what `--format json` prints, a finding has "lock", "depends" and "page" as well (see `explanation`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from .findings import Finding, Refusal, has_errors
from .redaction import redact, redact_tree

SCHEMA = 1

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_LOCKED = 75


class Listener(Protocol):
    """Told of a run as it goes: the terminal's live view, plain lines, or nothing."""

    def step_started(self, step: Step) -> None: ...
    def step_progress(self, step: Step) -> None: ...
    def step_finished(self, step: Step) -> None: ...


class Silent:
    """A listener that shows nothing (JSON output, tests)."""

    def step_started(self, step: Step) -> None: ...
    def step_progress(self, step: Step) -> None: ...
    def step_finished(self, step: Step) -> None: ...


@dataclass
class Step:
    """One named, timed unit of a run.

    `facts` is JSON-like data (what was measured or made); sizes end in `_bytes`, durations in `_seconds`.
    `done` and `total` are progress in `unit` (total None: not known).
    """

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    skipped: str | None = None
    seconds: float = 0.0
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    note: str = ""
    failed: bool = False
    _listener: Listener = field(default_factory=Silent, repr=False)

    @property
    def ok(self) -> bool:
        """No error among the findings, and it ran to its end (or was skipped)."""
        return not self.failed and not has_errors(self.findings)

    def add(self, *findings: Finding) -> None:
        """Record findings."""
        self.findings.extend(findings)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Record findings."""
        self.findings.extend(findings)

    def skip(self, reason: str) -> None:
        """Say why the step did nothing; it counts as ok."""
        self.skipped = redact(reason)

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        """Tell the listener how far the step is. `unit` is "bytes" or a plural noun."""
        self.done, self.total, self.unit, self.note = done, total, unit, redact(note)
        self._listener.step_progress(self)

    def as_dict(self) -> dict[str, Any]:
        """The JSON report's shape of one step."""
        return {
            "name": self.name,
            "ok": self.ok,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
            "facts": redact_tree(self.facts),
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass
class Report:
    """A command's run. `started` is UTC; `seconds` runs until `finish`."""

    command: str
    release: str | None = None
    listener: Listener = field(default_factory=Silent)
    steps: list[Step] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    exit_code: int = EXIT_OK
    seconds: float = 0.0
    _clock: float = field(default_factory=time.monotonic, repr=False)

    @property
    def ok(self) -> bool:
        """The command did what it was asked to."""
        return self.exit_code == EXIT_OK

    @property
    def findings(self) -> list[Finding]:
        """All findings of all steps, in order."""
        return [finding for step in self.steps for finding in step.findings]

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step and record it, whatever happens in it.

        A `Refusal` raised inside is recorded (its findings join the step) and raised again; any other
        exception marks the step failed and is raised again.
        """
        step = Step(name, _listener=self.listener)
        self.steps.append(step)
        began = time.monotonic()
        self.listener.step_started(step)
        try:
            yield step
        except Refusal as refusal:
            step.extend(finding for finding in refusal.findings if finding not in step.findings)
            step.failed = True
            raise
        except BaseException:
            step.failed = True
            raise
        finally:
            step.seconds = time.monotonic() - began
            self.listener.step_finished(step)

    def require_ok(self, step: Step, *, exit_code: int = EXIT_REFUSED) -> None:
        """Stop here if the step has errors.

        Raises:
            Refusal: with the step's error findings.
        """
        if not step.ok:
            raise Refusal(*(f for f in step.findings if f.level == "error"), exit_code=exit_code)

    def add_step(self, step: Step) -> None:
        """Record a step that was timed elsewhere (checks that ran in parallel)."""
        self.steps.append(step)
        self.listener.step_finished(step)

    def finish(self, exit_code: int | None = None) -> None:
        """Stop the clock and settle the exit code: the one given, else 1 if a step has errors, else 0."""
        self.seconds = time.monotonic() - self._clock
        if exit_code is not None:
            self.exit_code = exit_code
        elif self.exit_code == EXIT_OK and not all(step.ok for step in self.steps):
            self.exit_code = EXIT_REFUSED

    def as_dict(self) -> dict[str, Any]:
        """The JSON contract (schema 1)."""
        return {
            "schema": SCHEMA,
            "command": self.command,
            "release": self.release,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "started": self.started.isoformat(),
            "seconds": round(self.seconds, 3),
            "steps": [step.as_dict() for step in self.steps],
        }
