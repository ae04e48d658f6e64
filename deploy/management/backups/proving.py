"""`backups verify [ID] [--grade L1]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.reporting.facts import in_order
from deploy.reporting.report import Report


def arguments(parser: CommandParser) -> None:
    """Those of `verify`."""
    parser.add_argument(
        "backup", metavar="ID", nargs="?", default="latest", help="A backup's id (default: latest)."
    )
    parser.add_argument(
        "--grade",
        choices=("L0", "L1", "L2"),
        default="L1",
        help="L0: the stored bytes' checksums. L1: they decode to the end. L2: restored into a scratch "
        "database, every table compared (default: %(default)s).",
    )


def run(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """A step `backups verify`, and the proof in the manifest."""
    from deploy import backup
    from deploy.buckets import open_bucket

    bucket = open_bucket(conf.bucket)
    with report.step("backups verify") as step:
        manifest = backup.read_manifest(conf, bucket, options["backup"])
        backup.prove(conf, bucket, manifest, options["grade"], step=step)
        in_order(step.facts, ("proved", "grade"))
