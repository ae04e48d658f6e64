"""Which renderer a run gets."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .location import Locate, by_place
from .output import Output
from .report import Listener, Report

FORMATS = ("auto", "terminal", "plain", "json", "junit", "github", "sarif", "markdown")
# Documents for programs: nothing but the document may be on standard output.
DOCUMENTS = frozenset({"json", "junit", "sarif", "markdown"})


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
    locate: Locate = by_place,
    fallback: str = "",
) -> Renderer:
    """The renderer called `name`, one of FORMATS.

    `locate` tells where in the source a finding is; `fallback` is the file of those that are in none.
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
    if name == "sarif":
        from .render_sarif import SARIFRenderer

        return SARIFRenderer(output, locate, fallback)
    if name == "markdown":
        from .render_markdown import MarkdownRenderer

        return MarkdownRenderer(output, locate)
    if name == "github":
        from .render_github import GitHubRenderer

        return GitHubRenderer(output, summary_path, locate)
    from .render_plain import PlainRenderer

    return PlainRenderer(output)
