"""The DEPLOY setting: its mistakes, and values that are right by themselves but not for this environment."""

from __future__ import annotations

from django.conf import settings

from deploy import conf as configuration
from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType
from deploy.reporting.report import Step

from .check import Check

SHARED_BUCKET = FindingType(
    "deploy.P010",
    "error",
    "The static bucket {static} and the bucket of ledger and backups {bucket} overlap.",
    "Set DEPLOY['STATIC_BUCKET'] to a bucket of its own: static files are public, backups are not.",
)
LOCAL_BUCKET = FindingType(
    "deploy.P011",
    "warning",
    "In {environment} the ledger and the backups lie on this machine's disk ({bucket}).",
    "Set DEPLOY['BUCKET'] to 'gs://…': a backup beside its database is lost with it.",
)
NO_RELEASE = FindingType(
    "deploy.P012",
    "warning",
    "In {environment} RELEASE is not set, so the running code cannot say which release it is.",
    "Give it to the container: RELEASE=$(git rev-parse HEAD)",
)

OTHER_DATABASES = FindingType(
    "deploy.P013",
    "info",
    "A release migrates and backs up the database {alias} only, not {others}.",
    "Migrate the others yourself: python manage.py migrate --database {first}",
)

_LOCAL_ENVIRONMENTS = frozenset({"local", "development", "dev", "test"})


def is_local(conf: DeployConf) -> bool:
    """A laptop or a test: what would be dangerous in the open is worth a warning only."""
    return conf.environment in _LOCAL_ENVIRONMENTS


class ConfigurationCheck(Check):
    name = "configuration"
    looks_at = "the DEPLOY setting: unknown keys, wrong values, buckets that overlap"
    fast = True

    def run(self, conf: DeployConf, step: Step) -> None:
        _, findings = configuration.read()
        step.extend(findings)
        step.facts.update(project=conf.project, environment=conf.environment, database=conf.database)
        others = [
            alias
            for alias, entry in settings.DATABASES.items()
            if alias != conf.database and not (entry.get("TEST") or {}).get("MIRROR")
        ]
        if others:
            step.add(OTHER_DATABASES(alias=conf.database, others=", ".join(others), first=others[0]))
        mine, static = f"{conf.bucket}/", f"{conf.static_bucket}/"
        if mine.startswith(static) or static.startswith(mine):
            step.add(SHARED_BUCKET(static=conf.static_bucket, bucket=conf.bucket))
        if is_local(conf):
            return
        if conf.bucket.startswith("file://"):
            step.add(LOCAL_BUCKET(environment=conf.environment, bucket=conf.bucket))
        if not conf.release:
            step.add(NO_RELEASE(environment=conf.environment))
