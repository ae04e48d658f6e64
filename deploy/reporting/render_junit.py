"""JUnit XML, which every CI server shows as a test report: a step is a test case."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from .findings import Finding
from .output import Output
from .report import Report, Silent, Step
from .verdict import state

# XML 1.0 has no form at all for these (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JUnitRenderer(Silent):
    """One document at the end: failures for steps that are not ok, other findings as system-out."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def finish(self, report: Report) -> None:
        states = [state(step) for step in report.steps]
        suite = ET.Element(
            "testsuite",
            name=_text(f"deploy.{report.command}"),
            tests=str(len(states)),
            failures=str(states.count("failed")),
            errors="0",
            skipped=str(states.count("skipped")),
            time=f"{report.seconds:.3f}",
            timestamp=report.started.strftime("%Y-%m-%dT%H:%M:%S"),
        )
        properties = ET.SubElement(suite, "properties")
        for name, value in (("release", report.release or ""), ("exit_code", str(report.exit_code))):
            ET.SubElement(properties, "property", name=name, value=_text(value))
        for step in report.steps:
            _case(suite, report, step)
        ET.indent(suite)
        self.output.line('<?xml version="1.0" encoding="UTF-8"?>')
        self.output.line(ET.tostring(suite, encoding="unicode"))


def _case(suite: ET.Element, report: Report, step: Step) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_text(f"deploy.{report.command}"),
        name=_text(step.name),
        time=f"{step.seconds:.3f}",
    )
    errors = [finding for finding in step.findings if finding.level == "error"]
    if not step.ok:
        first = errors[0] if errors else None
        failure = ET.SubElement(
            case,
            "failure",
            type=first.id if first else "deploy",
            message=_text(first.message if first else f"{step.name} did not run to its end"),
        )
        failure.text = _text("\n\n".join(_paragraph(finding) for finding in errors))
    elif step.skipped:
        ET.SubElement(case, "skipped", message=_text(step.skipped))
    if others := [finding for finding in step.findings if finding not in errors]:
        ET.SubElement(case, "system-out").text = _text("\n\n".join(_paragraph(f) for f in others))


def _paragraph(finding: Finding) -> str:
    where = f" [{finding.place}]" if finding.place else ""
    return f"{finding.level}: {finding.id} {finding.message}{where}\n{finding.hint}"


def _text(text: str) -> str:
    return _NOT_XML.sub("", text)
