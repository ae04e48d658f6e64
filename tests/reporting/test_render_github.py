import io

from deploy.reporting.output import Output
from deploy.reporting.render_github import GitHubRenderer, annotation, summary
from deploy.reporting.report import Report, Step

from .sample import ERROR, INFO, WARNING, sample_report


def test_annotations_are_escaped_as_the_runner_reads_them():
    assert annotation(ERROR(column="note", why="a::b\r\nc", place="shop.0042_note")) == (
        "::error title=deploy.X811 shop.0042_note::Adding note locks 100%25 of the table: a::b%0Ac."
        "%0ALock: SHARE on it%0Aoperations = [%0A    AddField('order', 'note'),%0A]%0A"
    )


def test_annotations_point_at_the_file_and_line():
    assert annotation(WARNING(count=4, url="gs://c", place="shop/a,b.py:12")) == (
        "::warning file=shop/a%2Cb.py,line=12,title=deploy.X810::The bucket keeps 4 generations."
        "%0Agcloud storage ls gs://c"
    )


def test_an_address_is_not_taken_for_a_file():
    assert annotation(INFO(place="http://127.0.0.1:8000")) == (
        "::notice title=deploy.X812 http%3A//127.0.0.1%3A8000::Nothing else to say."
    )


def test_the_log_has_plain_lines_and_annotations(tmp_path):
    stream = io.StringIO()
    renderer = GitHubRenderer(Output(stream), tmp_path / "summary.md")
    renderer.finish(sample_report(renderer))
    lines = stream.getvalue().splitlines()
    assert "▶ backup" in lines
    assert [line.split("::")[1].split()[0] for line in lines if line.startswith("::")] == [
        "warning",
        "error",
        "warning",
        "notice",
    ]
    assert lines[-1].startswith("✗ predeploy r1: refused (exit 1)")


def test_the_job_summary_is_appended(tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("from another step\n")
    GitHubRenderer(Output(io.StringIO()), path).finish(sample_report())
    text = path.read_text()
    assert text.startswith("from another step\n### ❌ predeploy r1: refused")
    assert "| ✅ | backup | 0 ms | size 1.5 MB, sha256 abababababab |" in text
    assert "| ➖ | static | 0 ms | skipped: already proved |" in text
    assert (
        "**error** `deploy.X811` `shop.0042_note` Adding note locks 100% of the table: a::b, c.\n\n"
        "```\noperations = [\n    AddField('order', 'note'),\n]\n```\n"
    ) in text


def test_the_summary_cannot_be_broken_out_of():
    report = Report("x", steps=[Step("a | <b>", findings=[WARNING(count="`1`", url="```\n# Hi")])])
    text = summary(report)
    assert "| ✅ | a \\| \\<b\\> |" in text
    assert "````\ngcloud storage ls ```\n# Hi\n````" in text


def test_a_summary_that_cannot_be_written_does_not_stop_the_deploy(tmp_path):
    stream = io.StringIO()
    GitHubRenderer(Output(stream), tmp_path / "missing" / "summary.md").finish(sample_report())
    assert "::warning title=deploy::No job summary:" in stream.getvalue()


def test_a_summary_that_github_would_drop_is_not_written(tmp_path):
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * (1024 * 1024 - 10))
    GitHubRenderer(Output(io.StringIO()), path).finish(sample_report())
    assert path.stat().st_size == 1024 * 1024 - 10
