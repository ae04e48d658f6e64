"""`manage.py backups firestore`: what a backup holds of Firestore, and its way back into a database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.management.command import USAGE
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report, Step

if TYPE_CHECKING:
    from deploy.backup.firestore.connection import Database
    from deploy.backup.manifest import Companion, Manifest
    from deploy.buckets import Bucket

_TARGET = re.compile(r"([a-z][a-z0-9:.-]{4,61}[a-z0-9])/(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])")


def arguments(parser: CommandParser) -> None:
    """Its own arguments."""
    parser.add_argument("backup", metavar="ID", help="A backup's id, or latest.")
    parser.add_argument(
        "--restore-into",
        default="",
        metavar="PROJECT/DATABASE",
        help="Create its documents in this database, which is empty, and compare every one of them.",
    )
    parser.add_argument(
        "--into-nonempty",
        action="store_true",
        help="The database may hold other documents. They stay; nothing is ever overwritten.",
    )
    parser.add_argument(
        "--keep-references",
        action="store_true",
        help="References go on pointing into the database that was backed up.",
    )
    parser.add_argument(
        "--from-environment", default=None, metavar="ENVIRONMENT", help="Take another environment's backup."
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Read the export and look at the database; write nothing."
    )


def run(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """Do what the options ask for. Raises Refusal."""
    from deploy import backup
    from deploy.backup.firestore.connection import Database
    from deploy.buckets import open_bucket

    target = _TARGET.fullmatch(options["restore_into"])
    if options["restore_into"] and not target:
        raise _usage(f"{options['restore_into']!r} is not PROJECT/DATABASE, such as my-project/(default).")
    if not target and (options["into_nonempty"] or options["keep_references"] or options["dry_run"]):
        raise _usage("--into-nonempty, --keep-references and --dry-run need --restore-into.")
    bucket = open_bucket(conf.bucket)
    manifest = backup.read_manifest(conf, bucket, options["backup"], environment=options["from_environment"])
    if target:
        _restore(conf, bucket, manifest, Database(*target.groups()), options, report)
        return
    _show(conf, manifest, report)


def _usage(message: str) -> Refusal:
    return Refusal(USAGE(message=message, command="backups firestore"))


def _show(conf: DeployConf, manifest: Manifest, report: Report) -> None:
    """A step for each export, with what the manifest says of it, and how a managed one stands now."""
    kept = [companion for companion in manifest.companions if companion.kind.startswith("firestore")]
    if not kept:
        with report.step("firestore") as step:
            step.skip(f"backup {manifest.id} holds nothing of Firestore")
    for companion in kept:
        with report.step(companion.kind) as step:
            facts = dict(companion.facts)
            if facts.get("operation") and facts.get("state") != "done":
                facts |= _as_it_stands(conf, companion)
            _judge(manifest, companion.kind, facts, step)
            step.facts.update(
                state=facts.pop("state"), moment=companion.moment.isoformat(), **facts, backup=manifest.id
            )


def _judge(manifest: Manifest, kind: str, facts: dict[str, Any], step: Step) -> None:
    """What is not whole is said: that a backup has a line for it does not make it one."""
    from deploy.backup.firestore.findings import NOT_KEPT

    if facts["state"] in ("failed", "running", "unknown"):
        reason = facts.get("reason") or f"its operation is {facts['state']}"
        what = "portable" if kind == "firestore" else "managed"
        step.add(
            NOT_KEPT(
                id=manifest.id,
                what=what,
                reason=reason,
                level="warning" if facts["state"] == "running" else "error",
            )
        )


def _as_it_stands(conf: DeployConf, companion: Companion) -> dict[str, Any]:
    """How a managed export that was not done with the backup ended."""
    from deploy.backup.companions.firestore_managed import seen
    from deploy.backup.firestore.connection import Database
    from deploy.backup.firestore.managed import administered, look

    database = Database.from_path(str(companion.facts["database"]))
    endpoint = conf.backup.firestore.admin_endpoint if conf.backup.firestore else ""
    with administered(database, endpoint) as client:
        return seen(look(client, database, str(companion.facts["operation"])))


def _restore(
    conf: DeployConf,
    bucket: Bucket,
    manifest: Manifest,
    target: Database,
    options: dict[str, Any],
    report: Report,
) -> None:
    from deploy.backup.firestore.restore import Wish, plan_restore, restore

    wish = Wish(
        target,
        endpoint=conf.backup.firestore.endpoint if conf.backup.firestore else "",
        keep_references=options["keep_references"],
        into_nonempty=options["into_nonempty"],
    )
    with report.step("plan") as step:
        step.facts.update(plan_restore(bucket, manifest, wish, step=step).as_dict())
    if options["dry_run"]:
        return
    with report.step("restore") as step:
        step.facts.update(restore(bucket, manifest, wish, step=step))
