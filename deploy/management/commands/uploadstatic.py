"""`manage.py uploadstatic`: hashed static files into the bucket, only what is missing, manifest last."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from deploy.assets import plan_upload, upload
from deploy.buckets import open_bucket
from deploy.conf import NAME, RELEASE_INVALID, DeployConf
from deploy.management.command import DeployCommand
from deploy.releases.identity import identify
from deploy.reporting.findings import Refusal


class Command(DeployCommand):
    help = "Upload the release's static files under hashed names; only what the bucket lacks is sent."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Show the plan, send nothing.")
        parser.add_argument("--release", metavar="NAME", help="Default: RELEASE, else the Git commit.")

    def work(self, conf: DeployConf, options: dict[str, Any]) -> None:
        release = options["release"] or identify(conf).name
        if not NAME.match(release):
            raise Refusal(RELEASE_INVALID(release=release, reason="it becomes part of an object's name"))
        self.report.release = release
        bucket = open_bucket(conf.static_bucket)
        if not options["dry_run"]:
            with self.report.step("upload") as step:
                plan = plan_upload(conf, bucket, release=release)
                step.facts.update(upload(plan, bucket, conf=conf, guard=lambda: None, step=step))
            return
        with self.report.step("plan") as step:
            plan = plan_upload(conf, bucket, release=release)
            step.extend(plan.findings)
            if plan.skipped:
                step.skip(plan.skipped)
            else:
                step.facts.update(plan.as_dict())
