"""What a run says: lines for a person, annotations for GitHub, or one JSON document of the same steps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from .journal import now
from .problems import EXIT_OK, Finding, Interrupted, Problem, printable

FORMATS = ("text", "json", "github")
_ANNOTATION = {"error": "error", "warning": "warning", "info": "notice"}


@dataclass
class Step:
    """One named, timed unit of a run. `facts` is JSON-like; durations in it end in `_seconds`."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    skipped: str | None = None
    failed: bool = False
    seconds: float = 0.0

    def add(self, finding: Finding) -> None:
        """Record a finding."""
        self.findings.append(finding)

    def as_dict(self) -> dict[str, Any]:
        """The shape of a step in the report of `deploy`'s own commands."""
        return {
            "name": self.name,
            "ok": not self.failed,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
            "facts": self.facts,
            "findings": [finding.as_dict() for finding in self.findings],
        }


class Reporter:
    """Writes as the run goes; `finish` says the verdict."""

    def __init__(self, command: str, form: str, stream: TextIO) -> None:
        self.command = command
        self.form = form
        self.stream = stream
        self.release = ""
        self.steps: list[Step] = []
        self._deaf = False
        self._started = now()
        self._clock = time.monotonic()
        unicode = (getattr(stream, "encoding", "") or "").lower().replace("-", "").startswith("utf")
        self._marks = ("▶", "✓", "✗", "–", "→") if unicode else (">", "+", "x", "-", "->")

    def line(self, text: str = "") -> None:
        """A line for a person; nothing in a JSON run."""
        if self.form != "json":
            self._write(text)

    def job_line(self, text: str) -> None:
        """A line of a program that was started. Only its own annotations may begin one in GitHub's log."""
        text = printable(text)
        annotation = self.form == "github" and text.startswith(("::error ", "::warning ", "::notice "))
        self.line(text if annotation else f"  | {text}".rstrip())

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step and record it, whatever happens in it."""
        step = Step(name)
        self.steps.append(step)
        began = time.monotonic()
        self.line(f"{self._marks[0]} {name}")
        try:
            yield step
        except Problem as problem:
            step.failed = True
            step.add(problem.finding)
            raise
        except BaseException:
            step.failed = True
            raise
        finally:
            step.seconds = time.monotonic() - began
            self._finished(step)

    def finding(self, finding: Finding) -> None:
        """Say it: the fact, its evidence, and the hint, indented so that it can be pasted."""
        if self.form == "github":
            text = "\n".join((finding.message, *finding.evidence[-10:], finding.hint))
            self.line(f"::{_ANNOTATION[finding.level]} title={finding.id}::{_escaped(text)}")
            return
        mark = {"error": self._marks[2], "warning": "!"}.get(finding.level, "i")
        self.line(f"  {mark} {finding.id} {finding.message}")
        for line in finding.evidence:
            self.line(f"    | {line}")
        self.line(f"    {self._marks[4]} {finding.hint}")

    def finish(self, verdict: str, exit_code: int = EXIT_OK, *, data: dict[str, Any] | None = None) -> int:
        """Say how it ended, or write the document; returns `exit_code`."""
        seconds = time.monotonic() - self._clock
        if self.form != "json":
            mark = self._marks[1 if exit_code == EXIT_OK else 2]
            self.line(f"{mark} {verdict}  ({seconds:.1f} s)")
            return exit_code
        document = {
            "schema": 1,
            "command": self.command,
            "release": self.release or None,
            "ok": exit_code == EXIT_OK,
            "exit_code": exit_code,
            "started": self._started,
            "seconds": round(seconds, 3),
            "steps": [step.as_dict() for step in self.steps],
            "verdict": verdict,
            **(data or {}),
        }
        self._write(json.dumps(document, indent=2))
        return exit_code

    def failed(self, problem: Problem) -> int:
        """Say what ended the run, if no step has said it, and finish."""
        if not any(problem.finding in step.findings for step in self.steps):
            self.steps.append(Step("end", findings=[problem.finding], failed=True))
            self.finding(problem.finding)
        # In lines it has just been said.
        verdict = problem.finding.message.partition("\n")[0]
        ended = verdict if self.form == "json" else f"{self.command} ended with exit code {problem.exit_code}"
        return self.finish(ended, problem.exit_code)

    def interrupted(self, signal: Interrupted, exit_code: int) -> int:
        """Say that a signal ended it."""
        return self.finish(f"stopped by {signal.name}", exit_code)

    def _finished(self, step: Step) -> None:
        if step.skipped is not None:
            self.line(f"{self._marks[3]} {step.name}  skipped: {step.skipped}")
        else:
            facts = "  ".join(
                f"{name.replace('_', ' ')} {printable(str(value))}"
                for name, value in step.facts.items()
                if isinstance(value, (str, int, float))
            )
            mark = self._marks[2 if step.failed else 1]
            self.line(f"{mark} {step.name}  {step.seconds:.1f} s  {facts}".rstrip())
        for finding in step.findings:
            self.finding(finding)

    def _write(self, text: str) -> None:
        if self._deaf:
            return
        try:
            self.stream.write(f"{text}\n")
            self.stream.flush()
        except OSError:
            # Whoever was reading has gone (a lost connection). What is done goes on: the journal and the
            # ledger have it.
            self._deaf = True


def _escaped(text: str) -> str:
    """As the runner unescapes it (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
