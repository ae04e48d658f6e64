import io
import re

from deploy.reporting import render_plain
from deploy.reporting.output import Output
from deploy.reporting.render_plain import PlainRenderer
from deploy.reporting.report import Step

from .sample import ERROR, sample_report


def render(encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    renderer = PlainRenderer(Output(io.TextIOWrapper(raw, encoding=encoding, newline="\n")))
    renderer.finish(sample_report(renderer))
    return re.sub(r"  \d+ (ms|s)\b", "  0 ms", raw.getvalue().decode(encoding))


def test_shows_each_step_as_it_starts_and_ends_with_findings_and_hints():
    assert render() == (
        "✓ preflight: disk  0 ms  free 5.3 GB\n"
        "▶ backup\n"
        "✓ backup  0 ms  size 1.5 MB, sha256 abababababab\n"
        "  releases:\n"
        "  | release  size\n"
        "  | r1       10 B\n"
        "  ! deploy.X810 The bucket keeps 3 generations.\n"
        "    → gcloud storage ls gs://b\n"
        "▶ static\n"
        "– static  0 ms  skipped: already proved\n"
        "▶ gate\n"
        "✗ gate  0 ms\n"
        "  ✗ deploy.X811 Adding note locks 100% of the table: a::b, c. [shop.0042_note]\n"
        "    lock: SHARE on it\n"
        "    operations = [\n"
        "        AddField('order', 'note'),\n"
        "    ]\n"
        "  ! deploy.X810 The bucket keeps 4 generations. [shop/models.py:12]\n"
        "    → gcloud storage ls gs://c\n"
        "  i deploy.X812 Nothing else to say.\n"
        "✗ predeploy r1: refused (exit 1), 1 error and 2 warnings in 1 min 15 s\n"
    )


def test_falls_back_to_ascii_where_the_stream_is_not_utf8():
    text = render("ascii")
    assert "> backup\n+ backup" in text
    assert "- static" in text
    assert "x gate" in text
    assert "    -> gcloud storage ls gs://b\n" in text


def test_flushes_each_line_at_once():
    class Buffered(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    stream = Buffered()
    PlainRenderer(Output(stream)).step_started(Step("restore"))
    assert stream.flushed == "▶ restore\n"


def test_says_now_and_then_how_far_a_long_step_is(monkeypatch):
    clock = iter([0.0, 1.0, 16.0, 17.0])
    monkeypatch.setattr(render_plain.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    renderer = PlainRenderer(Output(stream))
    step = Step("dump", _listener=renderer)
    renderer.step_started(step)
    step.progress(1e6, 9e6, unit="bytes")
    step.progress(2e6, 9e6, unit="bytes", note="shop_order")
    step.progress(3e6, 9e6, unit="bytes")
    assert stream.getvalue() == ("▶ dump\n  dump: 2.0 MB of 9.0 MB, shop_order · 125.0 kB/s · 56.0 s left\n")


def test_says_what_is_waited_for_without_a_number():
    step = Step("clone")
    step.progress(0, note="the clone: waited 16.0 s of at most 90 min 00 s")
    assert render_plain.describe_pace(step, 16) == "the clone: waited 16.0 s of at most 90 min 00 s"


def test_control_characters_from_outside_do_not_reach_the_terminal():
    stream = io.StringIO()
    PlainRenderer(Output(stream)).finding(ERROR(column="\x1b[2J\x07note", why="\r\x9bx"))
    assert "Adding [2Jnote locks 100% of the table: x." in stream.getvalue()
