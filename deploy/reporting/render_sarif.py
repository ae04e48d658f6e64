"""SARIF 2.1.0 for code scanning: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

A finding is a result; its type is a rule. What has no line in the source is at line 1 of the file that the
project is run by, because GitHub refuses a file in which a result has no physical location
(https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning).
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from deploy import __version__

from .explanation import explain_type
from .findings import Finding, as_any, registry
from .location import Locate, Location, by_place
from .markdown import fenced, inline, sentences_and_code
from .output import Output
from .report import Report, Silent

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVEL = {"error": "error", "warning": "warning", "info": "note"}
# GitHub's name for a rule that is no security rule: how bad it is (see the page above).
_SEVERITY = {"error": "error", "warning": "warning", "info": "recommendation"}
# Seconds and sizes differ from run to run of the same finding.
_MEASURED = re.compile(r"\d+(?:\.\d+)? ?(?:ms|s|min|h|B|kB|MB|GB|TB)\b")


class SARIFRenderer(Silent):
    """One document at the end. `fallback` is the file for findings that have no line of their own."""

    def __init__(self, output: Output, locate: Locate = by_place, fallback: str = "") -> None:
        self.output = output
        self.locate = locate
        self.fallback = Location(fallback, 1) if fallback else None

    def finish(self, report: Report) -> None:
        self.output.line(json.dumps(self.document(report), indent=2))

    def document(self, report: Report) -> dict[str, Any]:
        """The log, with one run."""
        findings = list(dict.fromkeys(report.findings))
        rules = sorted({finding.id for finding in findings})
        run = {
            "tool": {
                "driver": {"name": "deploy", "version": __version__, "rules": [_rule(name) for name in rules]}
            },
            "automationDetails": {"id": f"deploy/{report.command}/"},
            "columnKind": "unicodeCodePoints",
            "invocations": [
                {
                    "executionSuccessful": report.ok,
                    "exitCode": report.exit_code,
                    "startTimeUtc": _moment(report, 0),
                    "endTimeUtc": _moment(report, report.seconds),
                }
            ],
            "results": [self._result(finding, rules.index(finding.id)) for finding in findings],
        }
        return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}

    def _result(self, finding: Finding, index: int) -> dict[str, Any]:
        place: dict[str, Any] = {}
        if at := self.locate(finding) or self.fallback:
            place["physicalLocation"] = {
                "artifactLocation": {"uri": quote(at.path), "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": at.line},
            }
        if finding.place:
            place["logicalLocations"] = [{"fullyQualifiedName": finding.place}]
        text = f"{finding.message}\n\n{finding.hint}" if finding.hint else finding.message
        return {
            "ruleId": finding.id,
            "ruleIndex": index,
            "level": _LEVEL[finding.level],
            "message": {"text": text},
            "locations": [place] if place else [],
            "partialFingerprints": {"deployFinding/v1": _fingerprint(finding)},
        }


def _rule(identity: str) -> dict[str, Any]:
    """What the finding's type says of every finding like it; `<name>` stands for what was found."""
    kind = registry().get(identity)
    if kind is None:
        return {"id": identity}
    message, hint = as_any(kind.message), as_any(kind.hint)
    facts = explain_type(kind).facts()
    text = [kind.why, *(f"{name}: {fact}" for name, fact in facts)]
    text += [f"Danger:\n{kind.danger.strip()}" if kind.danger else "", hint]
    text += [f"Safe:\n{kind.safe.strip()}" if kind.safe else ""]
    blocks = [inline(message), inline(kind.why)]
    blocks += ["\n".join(f"- **{name}:** {inline(fact)}" for name, fact in facts)]
    blocks += [_example("Danger", kind.danger), "\n".join(sentences_and_code(hint)) if hint else ""]
    blocks += [_example("Safe", kind.safe)]
    rule: dict[str, Any] = {
        "id": identity,
        "shortDescription": {"text": message},
        "fullDescription": {"text": " ".join(part for part in (message, kind.why) if part)},
        "help": {
            "text": "\n\n".join(part for part in text if part) or message,
            "markdown": "\n\n".join(block for block in blocks if block),
        },
        "defaultConfiguration": {"level": _LEVEL[kind.level]},
        "properties": {"tags": ["deploy"], "problem.severity": _SEVERITY[kind.level]},
    }
    if kind.source:
        rule["helpUri"] = kind.source
    return rule


def _example(name: str, code: str) -> str:
    return "\n".join((f"**{name}:**", "", *fenced(code, "python"))) if code else ""


def _fingerprint(finding: Finding) -> str:
    """The same for the same finding in another run and on another line (SHA-256, hex)."""
    message = _MEASURED.sub("#", finding.message)
    return hashlib.sha256("\0".join((finding.id, finding.place or "", message)).encode()).hexdigest()


def _moment(report: Report, after_seconds: float) -> str:
    moment = report.started + timedelta(seconds=after_seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
