"""The JSON contract on standard output, and nothing else there (see `deploy.reporting.report`)."""

from __future__ import annotations

import json

from .output import Output
from .report import Report, Silent


class JSONRenderer(Silent):
    """One document at the end. Values that JSON has no form for are written as their text."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def finish(self, report: Report) -> None:
        # ASCII only, so that the document is the same whatever the stream's encoding is.
        self.output.line(json.dumps(report.as_dict(), indent=2, default=str))
