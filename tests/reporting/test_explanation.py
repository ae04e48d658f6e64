"""The lock, what a finding depends on and its page, beside the finding."""

import io
import json
from pathlib import Path

import pytest

from deploy.gate.findings_of_locks import INDEX_BLOCKS, UNBATCHED
from deploy.reporting.explanation import Explanation, explain, lock_line
from deploy.reporting.findings import Finding
from deploy.reporting.output import Output
from deploy.reporting.render_github import annotation
from deploy.reporting.renderers import choose
from deploy.reporting.report import Report, Step

ROOT = Path(__file__).parents[2]
INDEX = INDEX_BLOCKS(name="i", table="t", held="", code="x", place="shop.0002_i")
UPDATE = UNBATCHED(verb="UPDATE", table="t", code="x", place="shop.0002_u")
LOCK = "ROW EXCLUSIVE on the table, and every row that is changed, until the migration commits"


def rendered(name: str) -> str:
    stream = io.StringIO()
    output = Output(stream)
    report = Report("migrategate", steps=[])
    renderer = choose(name, output)
    report.listener = renderer
    report.add_step(Step("check", findings=[INDEX, UPDATE]))
    renderer.finish(report)
    return stream.getvalue()


def test_a_finding_is_explained_by_its_type() -> None:
    found = explain(INDEX)
    assert (found.lock, found.depends) == (INDEX_BLOCKS.lock, INDEX_BLOCKS.depends)
    assert (ROOT / found.page).is_file()


def test_what_no_type_declares_has_no_explanation() -> None:
    assert explain(Finding("deploy.X899", "error", "From a newer release.", "")) == Explanation()


def test_json_has_the_lock_the_conditions_and_the_page() -> None:
    finding = json.loads(rendered("json"))["steps"][0]["findings"][1]
    assert finding["lock"].startswith("ROW EXCLUSIVE")
    assert (finding["depends"], finding["page"]) == (UNBATCHED.depends, "docs/reference/findings/M017.md")


def test_what_the_ledger_keeps_of_a_finding_has_none_of_it() -> None:
    assert set(INDEX.as_dict()) == {"id", "level", "message", "hint", "place"}


@pytest.mark.parametrize("name", ["plain", "github"])
def test_a_log_names_the_lock_where_the_message_does_not(name: str) -> None:
    text = rendered(name)
    assert text.lower().count("lock: ") == 1
    assert LOCK in text


def test_the_lock_is_one_sentence() -> None:
    assert lock_line(UPDATE) == LOCK
    assert lock_line(INDEX) == ""
    assert f"%0ALock: {LOCK}%0A" in annotation(UPDATE)


def test_a_comment_has_all_three_folded_away() -> None:
    text = rendered("markdown")
    folded = text[text.index("<details>") :]
    assert "- **Depends on:** The number of rows." in folded
    assert "- **Page:** docs/reference/findings/M017.md" in folded
