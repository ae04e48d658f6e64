"""A line of the log, whatever is put into it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

import pytest

from deploy.logs.json_lines import JsonFormatter, json_line, trace_fields
from deploy.reporting.redaction import register_secret

AT = datetime(2026, 11, 25, 4, 5, 6, 789000, tzinfo=UTC)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "text", ['quote " backslash \\', "line\nfeed\r\x00\x1b[31m\x7f", "é \u2028 \U0001f4a3 \udc80"]
)
def test_no_text_ends_the_line_or_leaves_its_string(text):
    line = json_line("INFO", text, AT, {"field": text})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {
        "severity": "INFO",
        "time": "2026-11-25T04:05:06.789000+00:00",
        "message": text,
        "field": text,
    }


def test_names_the_trace_of_its_project():
    assert trace_fields(f"00-{TRACE}-{SPAN}-01", "request-1", "optifit") == {
        "logging.googleapis.com/trace": f"projects/optifit/traces/{TRACE}",
        "logging.googleapis.com/spanId": SPAN,
        "logging.googleapis.com/trace_sampled": True,
        "request_id": "request-1",
    }
    unsampled = trace_fields(f"00-{TRACE}-{SPAN}-00", "")
    assert unsampled["logging.googleapis.com/trace"] == TRACE
    assert unsampled["logging.googleapis.com/trace_sampled"] is False


@pytest.mark.parametrize(
    "traceparent", ["", "x", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01\n", f"00-{TRACE.upper()}-{SPAN}-01"]
)
@pytest.mark.parametrize("request_id", ["", 'a"b', "a b", "a\nb", "é", "x" * 129])
def test_leaves_out_headers_that_are_not_of_their_form(traceparent, request_id):
    assert trace_fields(traceparent, request_id) == {}


def test_a_record_keeps_its_traceback_and_loses_its_secrets():
    register_secret("json-lines-secret")
    try:
        int("json-lines-secret")
    except ValueError:
        record = logging.LogRecord("site", logging.ERROR, __file__, 1, "%s failed", ("it",), sys.exc_info())
    entry = json.loads(JsonFormatter({"release": "r1"}).format(record))
    assert entry["message"].startswith("it failed\nTraceback (most recent call last):")
    assert entry["message"].endswith("int() with base 10: '[redacted]'")
    assert (entry["severity"], entry["logger"]) == ("ERROR", "site")
    assert entry["logging.googleapis.com/labels"] == {"release": "r1"}
    assert datetime.fromisoformat(entry["time"]).tzinfo is not None
