"""GitHub Actions: plain lines in the log, findings as annotations, and a summary on the run's page."""

from __future__ import annotations

import re
from pathlib import Path

from .facts import figures, human_seconds
from .findings import Finding
from .output import Output, printable
from .redaction import redact
from .render_plain import PlainRenderer
from .report import Report, Step
from .verdict import state, verdict

_COMMAND = {"error": "error", "warning": "warning", "info": "notice"}
_FILE_LINE = re.compile(r"^(?P<file>[^:\s][^:]*\.\w+):(?P<line>\d+)$")
# GitHub drops a job summary of more than 1 MiB altogether
# (https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary).
_LARGEST_SUMMARY_BYTES = 1024 * 1024
_MARK = {"ok": "✅", "failed": "❌", "skipped": "➖"}


class GitHubRenderer(PlainRenderer):
    """`summary_path` is `$GITHUB_STEP_SUMMARY`, or None outside of a job."""

    def __init__(self, output: Output, summary_path: Path | None = None) -> None:
        super().__init__(output)
        self.summary_path = summary_path

    def finding(self, finding: Finding) -> None:
        self.output.line(annotation(finding))

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


def annotation(finding: Finding) -> str:
    """A workflow command, escaped as the runner unescapes it (actions/toolkit, command.ts)."""
    properties = []
    title = finding.id
    if finding.place:
        if match := _FILE_LINE.match(finding.place):
            properties += [f"file={_property(match['file'])}", f"line={match['line']}"]
        else:
            title = f"{finding.id} {finding.place}"
    properties.append(f"title={_property(title)}")
    text = f"{finding.message}\n{finding.hint}" if finding.hint else finding.message
    return f"::{_COMMAND[finding.level]} {','.join(properties)}::{_data(text)}"


def summary(report: Report) -> str:
    """Markdown: the verdict, a table of steps, the findings with hints to copy."""
    mark = _MARK["ok" if report.ok else "failed"]
    lines = [f"### {mark} {_inline(verdict(report))}", "", "| | step | took | |", "|---|---|---:|---|"]
    lines += [_row(step) for step in report.steps]
    for finding in report.findings:
        where = f" `{_code(finding.place)}`" if finding.place else ""
        lines += ["", f"**{finding.level}** `{finding.id}`{where} {_inline(finding.message)}"]
        if finding.hint:
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", finding.hint)), default=0))
            lines += ["", fence, printable(finding.hint).strip("\n"), fence]
    return "\n".join(lines) + "\n\n"


def _row(step: Step) -> str:
    detail = f"skipped: {step.skipped}" if step.skipped else figures(step.facts)
    return (
        f"| {_MARK[state(step)]} | {_inline(step.name)} | {human_seconds(step.seconds)} | {_inline(detail)} |"
    )


def _inline(text: str) -> str:
    """Text that Markdown and its HTML show as it is."""
    text = printable(text).replace("\n", " ")
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", text)


def _code(text: str) -> str:
    return printable(text).replace("`", "'").replace("\n", " ")


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
