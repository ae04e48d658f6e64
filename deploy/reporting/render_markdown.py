"""Markdown for a comment on a pull request: one line that sums up, a table of findings, the code to paste."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .explanation import explain
from .facts import Table, figures, human_seconds, tables
from .findings import Finding
from .location import Locate, by_place
from .markdown import code, fenced, inline
from .output import Output, printable
from .report import Report, Silent
from .verdict import state, verdict

# GitHub refuses a comment of more characters (it says so: "body is too long (maximum is 65536 characters)").
LARGEST_COMMENT = 65_536
_MARK = {"error": "❌", "warning": "⚠️", "info": "ℹ️"}


class MarkdownRenderer(Silent):
    """One document at the end. Its first line is a comment by which a later run finds and replaces it."""

    def __init__(self, output: Output, locate: Locate = by_place) -> None:
        self.output = output
        self.locate = locate

    def finish(self, report: Report) -> None:
        self.output.write(document(report, self.locate))
        self.output.flush()


def document(report: Report, locate: Locate = by_place) -> str:
    """The comment, of at most LARGEST_COMMENT characters: hints are left out first, then findings."""
    findings = list(dict.fromkeys(report.findings))
    urgent = [finding for level in ("error", "warning") for finding in findings if finding.level == level]
    known = [finding for finding in findings if finding.level == "info"]
    mark = "✅" if report.ok and not urgent else _MARK["warning"] if report.ok else _MARK["error"]
    head = [f"<!-- deploy {code(report.command)} -->", f"### {mark} {inline(verdict(report))}", ""]
    head += _steps(report)
    end = [line for step in report.steps for table in tables(step.facts) for line in _table(table)]
    for shown, with_hints in ((len(urgent), True), (len(urgent), False), (50, False), (10, False)):
        lines = [*head, *_findings(urgent[:shown], locate)]
        if shown < len(urgent):
            lines += [f"And {len(urgent) - shown} more: run it with `--format json`.", ""]
        if with_hints:
            lines += [line for finding in urgent for line in _hint(finding)]
            lines += _folded(f"For information: {len(known)}", _findings(known, locate)) if known else []
        text = "\n".join([*lines, *end]) + "\n"
        if len(text) <= LARGEST_COMMENT:
            return text
        end = []
    return text[:LARGEST_COMMENT]


def _steps(report: Report) -> list[str]:
    """What was done, with its figures; one step is no table."""
    texts = [f"skipped: {step.skipped}" if step.skipped else figures(step.facts) for step in report.steps]
    if len(report.steps) == 1:
        return [inline(texts[0]), ""] if texts[0] else []
    marks = {"ok": "✅", "failed": "❌", "skipped": "➖"}
    rows = [
        f"| {marks[state(step)]} | {inline(step.name)} | {human_seconds(step.seconds)} | {inline(text)} |"
        for step, text in zip(report.steps, texts, strict=True)
    ]
    return ["| | step | took | |", "|---|---|---:|---|", *rows, ""] if rows else []


def _findings(findings: Sequence[Finding], locate: Locate) -> list[str]:
    if not findings:
        return []
    rows = ["| | finding | where | what |", "|---|---|---|---|"]
    for finding in findings:
        at = locate(finding)
        where = f"{at.path}:{at.line}" if at else finding.place
        shown = f"`{code(where)}`" if where else ""
        rows.append(f"| {_MARK[finding.level]} | {finding.id} | {shown} | {inline(finding.message)} |")
    return [*rows, ""]


def _hint(finding: Finding) -> list[str]:
    """The hint with the lock, what it depends on and the page, folded away."""
    facts = [f"- **{name}:** {inline(text)}" for name, text in explain(finding).facts()]
    if not (finding.hint or facts):
        return []
    title = f"{finding.id}{f' {finding.place}' if finding.place else ''}: what to do"
    hint = fenced(finding.hint, "python" if "\n" in finding.hint else "") if finding.hint else []
    return _folded(title, [*facts, *([""] if facts and hint else []), *hint])


def _table(table: Table) -> list[str]:
    if not table.columns:
        return []
    lines = [
        f"| {' | '.join(inline(name) for name in table.columns)} |",
        f"|{'---|' * len(table.columns)}",
        *(f"| {' | '.join(inline(cell) for cell in row)} |" for row in table.rows),
    ]
    if table.more:
        lines += ["", f"And {table.more} more: run it with `--format json`."]
    return _folded(table.title, [*lines, ""])


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{escape(printable(title))}</summary>", "", *lines, "", "</details>", ""]
