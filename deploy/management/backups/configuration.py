"""`manage.py backups configuration`: the settings, packages and files that were kept beside the data."""

from __future__ import annotations

from pathlib import Path
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
    parser.add_argument("--diff", action="store_true", help="Say what is different now.")
    parser.add_argument("--into", default=None, metavar="FOLDER", help="Write all of it there.")


def run(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """Show it, compare it with this process's, write it out."""
    from deploy import backup
    from deploy.backup.companions import configuration_difference as kept
    from deploy.backup.companions.configuration import gather
    from deploy.buckets import open_bucket

    bucket = open_bucket(conf.bucket)
    with report.step("backups configuration") as step:
        manifest = backup.read_manifest(conf, bucket, options["backup"])
        document = kept.load(bucket, manifest, step=step)
        step.facts.update(
            backup=manifest.id,
            moment=document.get("moment"),
            release=document.get("release"),
            image=document.get("image"),
            python=document.get("python"),
            terraform_generation=(document.get("terraform_state") or {}).get("generation"),
            settings=len(document["settings"]),
            packages=len(document["packages"]),
            files=list(document["files"]),
        )
        if options["diff"]:
            now, findings = gather(conf)
            step.extend(findings)
            step.facts.update(kept.differences(document, now))
        else:
            step.facts["secrets"] = kept.secrets(document)
        if options["into"] is not None:
            try:
                written = kept.write_out(document, Path(options["into"]))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                message = f"--into {options['into']} can't be written: {reason}."
                raise Refusal(USAGE(command="backups configuration", message=message)) from error
            step.facts["written"] = [str(path) for path in written]
        in_order(step.facts, ("differences", "file_differences", "release", "image", "moment"))
