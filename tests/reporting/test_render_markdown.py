"""The comment on a pull request."""

import io

from deploy.reporting.location import Location
from deploy.reporting.output import Output
from deploy.reporting.render_markdown import LARGEST_COMMENT, MarkdownRenderer, document
from deploy.reporting.report import Report, Step

from .sample import ERROR, INFO, WARNING, sample_report


def test_sums_up_then_tells_then_shows_the_code() -> None:
    text = document(sample_report())
    lines = text.splitlines()
    assert lines[0] == "<!-- deploy predeploy -->"
    assert lines[1] == "### ❌ predeploy r1: refused (exit 1), 1 error and 2 warnings in 1 min 15 s"
    table = lines.index("| | finding | where | what |")
    assert lines[table + 2] == (
        "| ❌ | deploy.X811 | `shop.0042_note` | Adding note locks 100% of the table: a::b, c. |"
    )
    assert "| ⚠️ | deploy.X810 | `shop/models.py:12` | The bucket keeps 4 generations. |" in lines
    at = lines.index("<details><summary>deploy.X811 shop.0042_note: what to do</summary>")
    assert lines[at + 2 : at + 11] == [
        "- **Lock:** SHARE on it. Nothing else.", "- **Depends on:** Its size.", "",
        "```python", "operations = [", "    AddField('order', 'note'),", "]", "```", "",
    ]  # fmt: skip
    assert "<details><summary>For information: 1</summary>" in lines
    assert "| r1 | 10 B |" in lines


def test_an_error_is_told_before_a_warning() -> None:
    report = Report("x", steps=[Step("s", findings=[WARNING(count=1, url="u"), ERROR(column="c", why="w")])])
    rows = [line for line in document(report).splitlines() if line.startswith(("| ❌", "| ⚠️"))]
    assert [row.split(" | ")[1] for row in rows] == ["deploy.X811", "deploy.X810"]


def test_says_in_one_line_that_nothing_was_found() -> None:
    report = Report("migrategate", steps=[Step("check", facts={"pending": 2})])
    report.finish()
    head, verdict, _, figures = document(report).splitlines()[:4]
    assert (head, figures) == ("<!-- deploy migrategate -->", "pending 2")
    assert verdict.startswith("### ✅ migrategate: done in")


def test_points_at_the_line() -> None:
    report = Report("x", steps=[Step("s", findings=[INFO(place="shop.0042_note")])])
    assert "`shop/migrations/0042_note.py:7`" in document(
        report, lambda _: Location("shop/migrations/0042_note.py", 7)
    )


def test_cannot_be_broken_out_of() -> None:
    finding = WARNING(count="`1` | </details> @all", url="```\n# Hi", place="<b>|`x")
    report = Report("a --> b", steps=[Step("s", findings=[finding])])
    text = document(report)
    assert "\\`1\\` \\| \\</details\\> \\@all" in text
    assert "````python\ngcloud storage ls ```\n# Hi\n````" in text
    assert "<summary>deploy.X810 &lt;b&gt;|`x: what to do</summary>" in text
    assert "`<b>\\|'x`" in text


def test_stays_below_what_github_takes() -> None:
    many = [ERROR(column=f"column {number}", why="x" * 300, place="shop.0042_note") for number in range(1000)]
    report = Report("x", steps=[Step("s", findings=many)])
    text = document(report)
    assert len(text) <= LARGEST_COMMENT
    assert "And 950 more" in text
    assert text.count("| ❌ |") == 50


def test_is_all_that_is_written() -> None:
    stream = io.StringIO()
    MarkdownRenderer(Output(stream)).finish(sample_report())
    assert stream.getvalue() == document(sample_report())
