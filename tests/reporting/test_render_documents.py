import io
import json
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from deploy.reporting.output import Output
from deploy.reporting.render_json import JSONRenderer
from deploy.reporting.render_junit import JUnitRenderer
from deploy.reporting.report import Report, Step

from .sample import ERROR, sample_report

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/report.schema.json").read_text())


def render(renderer_class, report) -> str:
    stream = io.StringIO()
    renderer_class(Output(stream)).finish(report)
    return stream.getvalue()


def test_json_is_the_contract():
    document = json.loads(render(JSONRenderer, sample_report()))
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert list(document) == [
        "schema",
        "command",
        "release",
        "ok",
        "exit_code",
        "started",
        "seconds",
        "steps",
    ]
    assert (document["schema"], document["command"], document["release"]) == (1, "predeploy", "r1")
    assert (document["ok"], document["exit_code"]) == (False, 1)
    assert document["started"] == "2026-11-23T12:00:00+00:00"
    gate = document["steps"][3]
    assert (gate["name"], gate["ok"], gate["skipped"]) == ("gate", False, None)
    assert gate["findings"][0] == {
        "id": "deploy.X811",
        "level": "error",
        "message": "Adding note locks 100% of the table: a::b, c.",
        "hint": "operations = [\n    AddField('order', 'note'),\n]\n",
        "place": "shop.0042_note",
        "lock": "SHARE on it. Nothing else.",
        "depends": "Its size.",
        "page": None,
    }


@pytest.mark.parametrize(
    ("change", "value"), [("schema", 2), ("exit_code", "1"), ("started", None), ("steps", [{"name": "x"}])]
)
def test_the_schema_is_strict(change, value):
    document = json.loads(render(JSONRenderer, sample_report())) | {change: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_json_is_valid_for_facts_that_json_has_no_form_for():
    report = Report("x", steps=[Step("s", facts={"path": Path("/srv"), "when": ("a", 1)})])
    assert json.loads(render(JSONRenderer, report))["steps"][0]["facts"] == {"path": "/srv", "when": ["a", 1]}


def test_junit_has_a_case_per_step():
    suite = ET.fromstring(render(JUnitRenderer, sample_report()).encode())
    assert suite.attrib == {
        "name": "deploy.predeploy",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "75.000",
        "timestamp": "2026-11-23T12:00:00",
    }
    disk, backup, static, gate = suite.findall("testcase")
    assert list(disk) == []
    assert "warning: deploy.X810 The bucket keeps 3 generations." in (backup.findtext("system-out") or "")
    assert static.find("skipped").attrib == {"message": "already proved"}
    failure = gate.find("failure")
    assert failure.attrib["type"] == "deploy.X811"
    assert "[shop.0042_note]\noperations = [" in (failure.text or "")


def test_junit_survives_what_xml_cannot_say():
    report = Report("x", steps=[Step("a\x00b\ud800<c>", findings=[ERROR(column="\x1b[2J", why="&")])])
    case = ET.fromstring(render(JUnitRenderer, report).encode()).find("testcase")
    assert case.attrib["name"] == "ab<c>"


def test_a_step_that_broke_off_is_a_failure():
    report = Report("x", steps=[Step("dump", failed=True)])
    failure = ET.fromstring(render(JUnitRenderer, report).encode()).find("testcase/failure")
    assert failure.attrib["message"] == "dump did not run to its end"


def test_the_package_says_that_it_is_typed():
    assert (files("deploy") / "py.typed").is_file()
