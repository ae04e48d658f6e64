"""The JSON line that the Ops Agent and GKE take apart into a log entry.

Names and forms: https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deploy.reporting.redaction import redact

# W3C trace context: version, trace, parent span, flags. https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")


def json_line(severity: str, message: str, at: datetime, fields: Mapping[str, Any] | None = None) -> str:
    """One line of ASCII: whatever a request put into a field can neither end the line nor leave its string.

    Args:
        severity: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
        at: with its zone.
        fields: what else the entry has.
    """
    entry = {"severity": severity, "time": at.isoformat(), "message": message, **(fields or {})}
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":"), default=str)


def trace_fields(traceparent: str, request_id: str, project: str = "") -> dict[str, Any]:
    """What ties an entry to its request elsewhere; a header that is not of its form is left out.

    Args:
        traceparent, request_id: the headers `traceparent` and `X-Request-Id`, or empty.
        project: Google Cloud project of the trace; Cloud Logging links entries to traces only with it.
    """
    fields: dict[str, Any] = {}
    if found := _TRACEPARENT.match(traceparent):
        trace, span, flags = found.groups()
        fields["logging.googleapis.com/trace"] = f"projects/{project}/traces/{trace}" if project else trace
        fields["logging.googleapis.com/spanId"] = span
        fields["logging.googleapis.com/trace_sampled"] = bool(int(flags, 16) & 1)
    if _REQUEST_ID.match(request_id):
        fields["request_id"] = request_id
    return fields


class JsonFormatter(logging.Formatter):
    """A record as a JSON line, its traceback in the message, as Error Reporting wants it."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._fields = {"logging.googleapis.com/labels": dict(labels)} if labels else {}

    def format(self, record: logging.LogRecord) -> str:
        """Registered secrets are masked: a traceback's last line can quote anything."""
        text = redact(super().format(record))
        at = datetime.fromtimestamp(record.created, tz=UTC)
        fields = {"logger": record.name, "process": os.getpid(), **self._fields}
        return json_line(record.levelname, text, at, fields)
