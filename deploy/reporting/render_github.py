"""GitHub Actions: plain lines in the log, findings as annotations, and a summary on the run's page."""

from __future__ import annotations

from pathlib import Path

from .explanation import lock_line
from .facts import figures, human_seconds
from .findings import Finding
from .location import Locate, by_place
from .markdown import code, fenced, inline
from .output import Output, printable
from .redaction import redact
from .render_plain import PlainRenderer
from .report import Report, Step
from .verdict import state, verdict

_COMMAND = {"error": "error", "warning": "warning", "info": "notice"}
# GitHub drops a job summary of more than 1 MiB altogether
# (https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary).
_LARGEST_SUMMARY_BYTES = 1024 * 1024
_MARK = {"ok": "✅", "failed": "❌", "skipped": "➖"}


class GitHubRenderer(PlainRenderer):
    """`summary_path` is `$GITHUB_STEP_SUMMARY`, or None outside of a job."""

    def __init__(self, output: Output, summary_path: Path | None = None, locate: Locate = by_place) -> None:
        super().__init__(output)
        self.summary_path = summary_path
        self.locate = locate

    def finding(self, finding: Finding) -> None:
        self.output.line(annotation(finding, self.locate))

    def finish(self, report: Report) -> None:
        super().finish(report)
        if self.summary_path is None:
            return
        text = redact(summary(report)).encode()
        try:
            with self.summary_path.open("ab") as file:
                if file.tell() + len(text) <= _LARGEST_SUMMARY_BYTES:
                    file.write(text)
        except OSError as error:
            # The summary is a convenience; that it could not be written does not change what was done.
            self.output.line(f"::warning title=deploy::{_data(f'No job summary: {error}')}")


def annotation(finding: Finding, locate: Locate = by_place) -> str:
    """A workflow command, escaped as the runner unescapes it (actions/toolkit, command.ts)."""
    properties = []
    at = locate(finding)
    if at:
        properties += [f"file={_property(at.path)}", f"line={at.line}"]
    title = finding.id
    if finding.place and not (at and by_place(finding)):
        title = f"{finding.id} {finding.place}"
    properties.append(f"title={_property(title)}")
    lock = lock_line(finding)
    text = "\n".join(filter(None, (finding.message, f"Lock: {lock}" if lock else "", finding.hint)))
    return f"::{_COMMAND[finding.level]} {','.join(properties)}::{_data(text)}"


def summary(report: Report) -> str:
    """Markdown: the verdict, a table of steps, the findings with hints to copy."""
    mark = _MARK["ok" if report.ok else "failed"]
    lines = [f"### {mark} {inline(verdict(report))}", "", "| | step | took | |", "|---|---|---:|---|"]
    lines += [_row(step) for step in report.steps]
    for finding in report.findings:
        where = f" `{code(finding.place)}`" if finding.place else ""
        lines += ["", f"**{finding.level}** `{finding.id}`{where} {inline(finding.message)}"]
        if finding.hint:
            lines += ["", *fenced(finding.hint)]
    return "\n".join(lines) + "\n\n"


def _row(step: Step) -> str:
    detail = f"skipped: {step.skipped}" if step.skipped else figures(step.facts)
    return (
        f"| {_MARK[state(step)]} | {inline(step.name)} | {human_seconds(step.seconds)} | {inline(detail)} |"
    )


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
