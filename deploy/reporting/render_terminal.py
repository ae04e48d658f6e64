"""The live view for a person: a spinner or a bar per running step, and what is finished scrolling above."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text

from .explanation import lock_line
from .facts import Table, figures, human_seconds, pairs, tables
from .findings import Finding
from .output import Output, printable
from .render_plain import describe_pace, symbols_for
from .report import Report, Step
from .verdict import state, verdict

_STYLE = {"ok": "green", "failed": "bold red", "skipped": "dim", "error": "red", "warning": "yellow"}
_BAR_WIDTH = 20
_SHORT_CELL = 12  # a column of such cells is never folded


@dataclass
class _Running:
    step: Step
    spinner: Spinner
    began: float


class TerminalRenderer:
    """Needs a terminal; `renderers.choose` sees to that. `NO_COLOR` and `TERM` are honoured by rich."""

    def __init__(self, output: Output, *, color: bool = True) -> None:
        self.symbols = symbols_for(output)
        self.console = Console(
            file=output,  # type: ignore[arg-type]  # rich only writes, flushes and asks isatty
            no_color=None if color else True,
            highlight=False,
            emoji=False,
            markup=False,
        )
        self._lock = threading.RLock()  # steps report progress from worker threads
        self._running: dict[int, _Running] = {}
        self._live: Live | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The live part: one row per running step (rich asks for it ten times a second)."""
        with self._lock:
            yield Group(*(self._row(running) for running in self._running.values()))

    def step_started(self, step: Step) -> None:
        with self._lock:
            spinner = Spinner("dots" if self.symbols.start == "▶" else "line", style="cyan")
            self._running[id(step)] = _Running(step, spinner, time.monotonic())
            if self._live is None:
                self._live = Live(self, console=self.console, transient=True, refresh_per_second=10)
                self._live.start()

    def step_progress(self, step: Step) -> None:
        """Nothing to do: the next refresh shows it."""

    def step_finished(self, step: Step) -> None:
        with self._lock:
            self._running.pop(id(step), None)
        if not self._running:
            self._stop()
        mark = state(step)
        line = Text.assemble(
            (f"{self.symbols.of_step(step)} ", _STYLE[mark]),
            (printable(step.name), "dim" if mark == "skipped" else "bold"),
            (f"  {human_seconds(step.seconds)}", "dim"),
        )
        detail = f"skipped: {printable(step.skipped)}" if step.skipped else figures(step.facts)
        fits = line.cell_len + len("  ") + Text(detail).cell_len <= self.console.width
        if detail and (fits or step.skipped):
            line.append(f"  {detail}", "dim")
        self.console.print(line)
        if detail and not fits and not step.skipped:
            self._print_pairs(pairs(step.facts))
        for table in tables(step.facts):
            self._print_table(table)
        for finding in step.findings:
            self._print_finding(finding)

    def finish(self, report: Report) -> None:
        self._stop()
        mark = self.symbols.ok if report.ok else self.symbols.failed
        style = "bold green" if report.ok else "bold red"
        self.console.print(Text(f"{mark} {printable(verdict(report))}", style))

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _row(self, running: _Running) -> Grid:
        step, elapsed = running.step, time.monotonic() - running.began
        said = Text.assemble((printable(step.name), "bold"), (f"  {human_seconds(elapsed)}", "dim"))
        cells: list[RenderableType] = [running.spinner]
        room = self.console.width - 3
        if step.done or step.total is not None:
            said.append(f"  {describe_pace(step, elapsed)}", "dim")
            if step.total and room >= 3 * _BAR_WIDTH:
                done = min(step.done, step.total)
                cells.append(ProgressBar(total=step.total, completed=done, width=_BAR_WIDTH))
                room -= _BAR_WIDTH + 2
        elif step.note:
            said.append(f"  {printable(step.note)}", "dim")
        # Cut here: rich would take the room from the spinner and the bar.
        said.truncate(room, overflow="ellipsis")
        row = Grid.grid(padding=(0, 1))
        row.add_row(*cells, said)
        return row

    def _print_finding(self, finding: Finding) -> None:
        style = _STYLE.get(finding.level, "cyan")
        fact = Text.assemble((finding.id, style), " ", printable(finding.message))
        if finding.place:
            fact.append(f" [{printable(finding.place)}]", "dim")
        row = Grid.grid(padding=(0, 1))
        row.add_column(width=1)
        row.add_column(overflow="fold")
        row.add_row(Text(self.symbols.of_level(finding.level), style), fact)
        self.console.print(Padding(row, (0, 0, 0, 2)))
        if lock := lock_line(finding):
            self.console.print(Padding(Text(f"lock: {lock}", "dim"), (0, 0, 0, 4)))
        hint = printable(finding.hint).strip("\n")
        if not hint:
            return
        # soft_wrap: the terminal folds a long line, but what is copied from it has no line break of ours.
        mark = "" if "\n" in hint else f"{self.symbols.arrow} "
        for number, line in enumerate(hint.split("\n")):
            text = Text(f"    {mark if number == 0 else ''}{line}".rstrip(), "cyan")
            self.console.print(text, soft_wrap=True)

    def _print_pairs(self, found: Sequence[tuple[str, str]]) -> None:
        """Below the step, one a line and none cut: they may be what somebody has to decide by."""
        grid = Grid.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=max(len(label) for label, _ in found) <= self.console.width // 3)
        grid.add_column(overflow="fold")
        for label, text in found:
            grid.add_row(Text(label, "dim"), Text(text))
        self.console.print(Padding(grid, (0, 0, 0, 4)))

    def _print_table(self, table: Table) -> None:
        self.console.print(Text(f"    {table.title}:", "dim"))
        grid = Grid(
            *table.columns,
            header_style="dim",
            box=None,
            show_header=bool(table.columns),
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for row in table.rows:
            grid.add_row(*(Text(cell) for cell in row))
        for index, column in enumerate(grid.columns):
            column.overflow = "fold"
            column.no_wrap = all(len(row[index]) <= _SHORT_CELL for row in table.rows)
        self.console.print(Padding(grid, (0, 0, 0, 6)))
        if table.more:
            self.console.print(Text(f"      and {table.more:,} more (--format json shows all)", "dim"))
