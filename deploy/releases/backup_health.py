"""A check for a status page of django-health-check: the newest backup is young enough.

Not for `/readyz`: a container that can serve must not be taken out of service for a backup that is missing.

    path("status/", HealthCheckView.as_view(checks=["deploy.releases.backup_health.BackupInTime"]))
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import ClassVar

from health_check.exceptions import ServiceWarning

from deploy import conf as configuration
from deploy.backup.age import look_at_age
from deploy.buckets import open_bucket
from deploy.health.checks import SharedHealthCheck
from deploy.health.sharing import Attempt, SharedCheck

LIMIT_SECONDS = 20.0
# A page that is asked every second lists the bucket twelve times an hour.
FRESH_SECONDS = 300.0


def ask_backup(_attempt: Attempt) -> None:
    """The newest backup is younger than DEPLOY['BACKUP_MAX_AGE_SECONDS'].

    Raises:
        ServiceWarning: it is not, or there is none; BucketError.
    """
    conf, _ = configuration.read()
    age = look_at_age(conf, open_bucket(conf.bucket))
    if not age.ok:
        raise ServiceWarning("; ".join(finding.message for finding in age.findings()))


@dataclasses.dataclass
class BackupInTime(SharedHealthCheck):
    """The newest backup is young enough; the answer is kept for five minutes. The reason is in the log."""

    timeout = datetime.timedelta(seconds=LIMIT_SECONDS)
    shared: ClassVar[SharedCheck] = SharedCheck(
        ask_backup, limit_seconds=LIMIT_SECONDS, fresh_seconds=FRESH_SECONDS
    )
