"""`backups age --max 26h`: for a person, a cron job's exit code, and whoever scrapes metrics."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.conf_backup import GRADES
from deploy.reporting.facts import in_order
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Report

METRICS_NOT_WRITTEN = FindingType(
    "deploy.B057",
    "error",
    "The metrics could not be written to {path}: {reason}.",
    "Name a file in a folder that this user may write to: --metrics /var/lib/node_exporter/backup.prom",
)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `26h`, `2d`; for argparse."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 15m, 26h or 2d")
    return float(match[1]) * _SECONDS[match[2]]


def arguments(parser: CommandParser) -> None:
    """Those of `age`."""
    parser.add_argument(
        "--max",
        type=duration,
        default=None,
        metavar="AGE",
        help="The most, as 90s, 15m, 26h, 2d (default: DEPLOY['BACKUP_MAX_AGE_SECONDS']).",
    )
    parser.add_argument(
        "--grade", choices=GRADES, default="", help="Only backups that are proved so far count."
    )
    parser.add_argument(
        "--metrics", default="", metavar="FILE", help="Write Prometheus' text format there as well."
    )
    parser.add_argument(
        "--log", action="store_true", help="One line of JSON on standard error, for Cloud Logging."
    )


def run(conf: DeployConf, report: Report, options: dict[str, Any], write: Callable[[str], object]) -> None:
    """A step `backups age`, an error of it when the backup is too old or absent (exit code 1)."""
    from deploy.backup.age import look_at_age
    from deploy.buckets import open_bucket

    with report.step("backups age") as step:
        age = look_at_age(
            conf, open_bucket(conf.bucket), most_seconds=options["max"], least_grade=options["grade"]
        )
        step.facts.update(age.as_dict())
        in_order(step.facts, ("age_seconds", "max_age_seconds", "grade"))
        # Before the metrics, which may not be writable: the alarm must not hang on them.
        step.extend(age.findings())
        if options["log"]:
            write(age.log_line())
        if options["metrics"]:
            _write_whole(Path(options["metrics"]), age.metrics())


def _write_whole(path: Path, text: str) -> None:
    """So that a scraper never reads half of it."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise
    except OSError as error:
        raise Refusal(METRICS_NOT_WRITTEN(path=path, reason=error.strerror or error)) from error
