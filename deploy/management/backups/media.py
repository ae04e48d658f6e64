"""`manage.py backups media`: are the files that belong to a backup still there, and bring back what isn't."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import USAGE
from deploy.reporting.facts import in_order
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report


def arguments(parser: CommandParser) -> None:
    """Its own arguments."""
    parser.add_argument("backup", metavar="ID", help="A backup's id, or latest.")
    parser.add_argument(
        "--bring-back", action="store_true", help="Make older generations live again where nothing is live."
    )
    parser.add_argument(
        "--changed-too", action="store_true", help="With --bring-back: also where other content is live now."
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="With --bring-back: only say what it would do."
    )


def run(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """Survey the files of a backup; with `--bring-back` and without `--dry-run`, bring them back."""
    from deploy import backup
    from deploy.backup.companions import media_return
    from deploy.backup.companions.kept import companion_of
    from deploy.buckets import open_bucket

    bring_back, changed_too, dry_run = (options[name] for name in ("bring_back", "changed_too", "dry_run"))
    if (changed_too or dry_run) and not bring_back:
        message = "--changed-too and --dry-run go with --bring-back."
        raise Refusal(USAGE(command="backups media", message=message))
    bucket = open_bucket(conf.bucket)
    manifest = backup.read_manifest(conf, bucket, options["backup"])
    companion, _ = companion_of(manifest, "media")
    if bring_back and companion.facts["url"] != conf.backup.media_bucket:
        ours = conf.backup.media_bucket or "none"
        theirs = companion.facts["url"]
        message = f"The files of {manifest.id} are in {theirs}, and DEPLOY['MEDIA_BUCKET'] is {ours}."
        raise Refusal(USAGE(command="backups media", message=message))
    if bring_back and not dry_run:
        with report.step("bring back") as step:
            step.facts.update(
                media_return.bring_back(
                    bucket, manifest, changed_too=changed_too, threads=conf.upload_threads, step=step
                )
            )
    with report.step("plan" if dry_run else "backups media") as step:
        found = media_return.survey(bucket, manifest, step=step)
        step.facts.update(backup=manifest.id, **found.facts())
        if dry_run:
            step.facts["bring_back"] = found.counts["missing"] + (
                found.counts["changed"] if changed_too else 0
            )
        in_order(step.facts, ("bring_back", "files", "there", "missing", "changed", "gone"))
        step.extend(found.findings(manifest.id))
