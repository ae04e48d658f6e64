"""Lines for logs and pipes: one when a step starts, one when it ends, then its findings."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from .explanation import lock_line
from .facts import Table, figures, human_bytes, human_seconds, tables
from .findings import Finding
from .output import Output, printable
from .report import Report, Step
from .verdict import state, verdict

# Often enough that a log follower knows it is alive, seldom enough that an hour's dump is 360 lines.
_PROGRESS_EVERY_SECONDS = 10.0
_SLOW_SECONDS = 1.0  # a rate over less than this jumps about


@dataclass(frozen=True, slots=True)
class Symbols:
    """The marks at the start of a line."""

    start: str
    ok: str
    failed: str
    skipped: str
    warning: str
    info: str
    arrow: str

    def of_level(self, level: str) -> str:
        """The mark of a finding."""
        return {"error": self.failed, "warning": self.warning}.get(level, self.info)

    def of_step(self, step: Step) -> str:
        """The mark of a finished step."""
        return {"ok": self.ok, "failed": self.failed, "skipped": self.skipped}[state(step)]


UNICODE = Symbols("▶", "✓", "✗", "–", "!", "i", "→")
ASCII = Symbols(">", "+", "x", "-", "!", "i", "->")


def symbols_for(output: Output) -> Symbols:
    """The marks that the stream can encode."""
    return UNICODE if output.speaks_unicode else ASCII


def describe_progress(step: Step) -> str:
    """`12.0 MB of 40.0 MB` or `3 of 9 tables`, and the note; the note alone where nothing is counted."""
    if step.note and not step.done and step.total is None:
        return printable(step.note)
    show = human_bytes if step.unit == "bytes" else (lambda count: f"{count:,.0f}")
    text = show(step.done) if step.total is None else f"{show(step.done)} of {show(step.total)}"
    if step.unit not in ("", "bytes"):
        text = f"{text} {step.unit}"
    return printable(f"{text}, {step.note}" if step.note else text)


def describe_pace(step: Step, elapsed_seconds: float) -> str:
    """`12.0 MB of 40.0 MB · 9.9 MB/s · 2.8 s left`."""
    parts = [describe_progress(step)]
    if elapsed_seconds >= _SLOW_SECONDS and step.done:
        rate = step.done / elapsed_seconds
        parts.append(f"{human_bytes(rate) if step.unit == 'bytes' else f'{rate:,.1f}'}/s")
        if step.total and step.done < step.total:
            parts.append(f"{human_seconds((step.total - step.done) / rate)} left")
    return " · ".join(parts)


class PlainRenderer:
    """Writes as the run goes; `finish` adds the verdict."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.symbols = symbols_for(output)
        self._lock = threading.RLock()  # steps report progress from worker threads
        self._said: dict[int, float] = {}
        self._began: dict[int, float] = {}

    def step_started(self, step: Step) -> None:
        with self._lock:
            self._said[id(step)] = self._began[id(step)] = time.monotonic()
            self.output.line(f"{self.symbols.start} {printable(step.name)}")

    def step_progress(self, step: Step) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._said.get(id(step), 0.0) >= _PROGRESS_EVERY_SECONDS:
                self._said[id(step)] = now
                elapsed = now - self._began.get(id(step), now)
                self.output.line(f"  {printable(step.name)}: {describe_pace(step, elapsed)}")

    def step_finished(self, step: Step) -> None:
        with self._lock:
            self._said.pop(id(step), None)
            self._began.pop(id(step), None)
            head = f"{self.symbols.of_step(step)} {printable(step.name)}  {human_seconds(step.seconds)}"
            detail = f"skipped: {printable(step.skipped)}" if step.skipped else figures(step.facts)
            self.output.line(f"{head}  {detail}".rstrip())
            for table in tables(step.facts):
                self._table(table)
            for finding in step.findings:
                self.finding(finding)

    def finding(self, finding: Finding) -> None:
        """The finding and, indented by four so that it can be pasted, its hint."""
        where = f" [{printable(finding.place)}]" if finding.place else ""
        message = printable(finding.message).replace("\n", "\n    ")
        self.output.line(f"  {self.symbols.of_level(finding.level)} {finding.id} {message}{where}")
        if lock := lock_line(finding):
            self.output.line(f"    lock: {lock}")
        hint = printable(finding.hint).strip("\n")
        if "\n" in hint:
            self.output.line("\n".join(f"    {line}".rstrip() for line in hint.split("\n")))
        elif hint:
            self.output.line(f"    {self.symbols.arrow} {hint}")

    def finish(self, report: Report) -> None:
        with self._lock:
            mark = self.symbols.ok if report.ok else self.symbols.failed
            self.output.line(f"{mark} {printable(verdict(report))}")

    def _table(self, table: Table) -> None:
        # A listing is indented by "  | ", so that no line of outside text can start a workflow command.
        rows = [*([table.columns] if table.columns else []), *table.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
        self.output.line(f"  {table.title}:")
        for row in rows:
            cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.output.line(f"  | {cells}".rstrip())
        if table.more:
            self.output.line(f"  | and {table.more:,} more (--format json shows all)")
