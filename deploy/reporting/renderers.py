"""Which renderer a run gets."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .output import Output
from .report import Listener, Report

FORMATS = ("auto", "terminal", "plain", "json", "junit", "github")
# Documents for programs: nothing but the document may be on standard output.
DOCUMENTS = frozenset({"json", "junit"})


class Renderer(Listener, Protocol):
    """Follows a run and, once it is over, writes what is left to say."""

    def finish(self, report: Report) -> None: ...


def choose(
    name: str,
    output: Output,
    *,
    github: bool = False,
    summary_path: Path | None = None,
    color: bool = True,
) -> Renderer:
    """The renderer called `name`, one of FORMATS.

    `auto` is github in GitHub Actions, terminal when a person is looking, plain otherwise.
    """
    if name == "auto":
        name = "github" if github else "terminal" if output.isatty() else "plain"
    if name == "terminal":
        from .render_terminal import TerminalRenderer

        terminal = TerminalRenderer(output, color=color)
        # A file, a pipe or TERM=dumb has no cursor to move: a live view would be noise there.
        if terminal.console.is_terminal and not terminal.console.is_dumb_terminal:
            return terminal
        name = "plain"
    if name == "json":
        from .render_json import JSONRenderer

        return JSONRenderer(output)
    if name == "junit":
        from .render_junit import JUnitRenderer

        return JUnitRenderer(output)
    if name == "github":
        from .render_github import GitHubRenderer

        return GitHubRenderer(output, summary_path)
    from .render_plain import PlainRenderer

    return PlainRenderer(output)
