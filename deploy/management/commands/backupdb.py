"""`manage.py backupdb`: stream the database into the bucket, with a manifest."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import replace
from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.conf_backup import MOST_JOBS
from deploy.management.command import DeployCommand


class Command(DeployCommand):
    """backup, and with --prove the restore into a scratch database."""

    help = "Stream a backup of the database into the bucket; with --prove, restore and compare it at once."
    examples = (
        "python manage.py backupdb",
        "python manage.py backupdb --jobs 4",
        "python manage.py backupdb --reason before-import --prove",
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reason",
            default="",
            help="What it is taken for, recorded with it (default: the release, or 'manual').",
        )
        parser.add_argument(
            "--jobs",
            type=_jobs,
            default=None,
            metavar="N",
            help="Dump large tables by so many processes (default: DEPLOY['BACKUP_JOBS'], or 1).",
        )
        parser.add_argument(
            "--prove", action="store_true", help="Restore it into a scratch database and compare every table."
        )

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        from deploy import backup
        from deploy.buckets import open_bucket
        from deploy.releases.identity import commit_of

        if options["jobs"] is not None:
            conf = replace(conf, backup=replace(conf.backup, jobs=options["jobs"]))
        bucket = open_bucket(conf.bucket)
        reason = options["reason"] or conf.release or "manual"
        with self.report.step("backup") as step:
            if options["prove"]:
                # Before hours of dumping, not after them.
                step.extend(backup.require_readable(conf))
            manifest = backup.create_backup(
                conf, bucket, release=reason, commit=commit_of(conf), step=step, guard=_unguarded
            )
        if not options["prove"]:
            return
        with self.report.step("restore") as step:
            backup.prove(conf, bucket, manifest, "L2", step=step)


def _jobs(text: str) -> int:
    """Of 1 to 32, as in the settings."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_JOBS):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST_JOBS}")
    return int(text)


def _unguarded() -> None:
    """A backup only adds objects under a new name, so it needs no deploy lock."""
