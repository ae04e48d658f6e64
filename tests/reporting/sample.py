"""One report with everything a renderer must show."""

from datetime import UTC, datetime

from deploy.reporting.findings import FindingType
from deploy.reporting.report import Report, Step

WARNING = FindingType(
    "deploy.X810", "warning", "The bucket keeps {count} generations.", "gcloud storage ls {url}"
)
ERROR = FindingType(
    "deploy.X811",
    "error",
    "Adding {column} locks 100% of the table: {why}.",
    "operations = [\n    AddField('order', 'note'),\n]\n",
    lock="SHARE on it. Nothing else.",
    depends="Its size.",
)
INFO = FindingType("deploy.X812", "info", "Nothing else to say.", "")


def sample_report(renderer=None) -> Report:
    """A predeploy that was refused by the gate; `renderer` follows it if given."""
    report = Report("predeploy", "r1", started=datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    if renderer is not None:
        report.listener = renderer
    report.add_step(Step("preflight: disk", seconds=0.004, facts={"free_bytes": 5_300_000_000}))
    with report.step("backup") as step:
        step.progress(1e6, 4e6, unit="bytes", note="shop_order")
        step.facts.update(
            size_bytes=1_500_000, sha256="ab" * 32, releases=[{"release": "r1", "size_bytes": 10}]
        )
        step.add(WARNING(count=3, url="gs://b"))
    with report.step("static") as step:
        step.skip("already proved")
    with report.step("gate") as step:
        step.add(
            ERROR(column="note", why="a::b, c", place="shop.0042_note"),
            WARNING(count=4, url="gs://c", place="shop/models.py:12"),
            INFO(),
        )
    report.finish()
    report.seconds = 75.0
    for step in report.steps[1:]:
        step.seconds = 0.0
    return report
