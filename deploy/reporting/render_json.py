"""The JSON contract on standard output, and nothing else there (see `deploy.reporting.report`)."""

from __future__ import annotations

import json
from typing import Any

from .explanation import explain
from .output import Output
from .report import Report, Silent


class JSONRenderer(Silent):
    """One document at the end. Values that JSON has no form for are written as their text."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def finish(self, report: Report) -> None:
        # ASCII only, so that the document is the same whatever the stream's encoding is.
        self.output.line(json.dumps(document(report), indent=2, default=str))


def document(report: Report) -> dict[str, Any]:
    """The report's own form; each finding has its type's `lock`, `depends` and `page` as well (or null)."""
    made = report.as_dict()
    for step, shown in zip(report.steps, made["steps"], strict=True):
        for finding, fields in zip(step.findings, shown["findings"], strict=True):
            about = explain(finding)
            fields |= {name: getattr(about, name) or None for name in ("lock", "depends", "page")}
    return made
