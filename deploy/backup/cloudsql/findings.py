"""What backups and clones of Cloud SQL have to say: the findings `deploy.B085` to `B094`."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

CLIENT_MISSING = FindingType(
    "deploy.B085",
    "error",
    "Cloud SQL's instance {instance} needs google-api-python-client: its module {module} is not there.",
    "pip install 'google-api-python-client>=2.202,<3'",
)
SHARED = FindingType(
    "deploy.B118",
    "info",
    "Cloud SQL's backup {backup} of {instance} was begun for {other}, {seconds} s before this backup's "
    "snapshot.",
    "To have one of its own, when no other backup runs: python manage.py backupdb",
    why="A backup that was killed, or that still runs, had begun it; what was written since is not in it.",
)
FORBIDDEN = FindingType(
    "deploy.B086",
    "error",
    "Cloud SQL's instance {instance} could not be {action}: {reason}.",
    "Sign in (gcloud auth application-default login), or grant the role: gcloud projects "
    "add-iam-policy-binding {project} --member=serviceAccount:ACCOUNT --role={role}; the API must be on: "
    "gcloud services enable sqladmin.googleapis.com --project={project}",
    why="Cloud SQL answers so for an instance that does not exist, too.",
)
INSTANCE_MISSING = FindingType(
    "deploy.B087",
    "error",
    "Cloud SQL's instance {instance} could not be {action}: {reason}.",
    "Correct DEPLOY['CLOUD_SQL']; see which there are: gcloud sql instances list --project={project}",
)
FAILED = FindingType(
    "deploy.B088",
    "error",
    "Cloud SQL's instance {instance} could not be {action}: {reason}.",
    "Look at what it did last: gcloud sql operations list --instance={name} --project={project} --limit=10",
)
STILL_RUNNING = FindingType(
    "deploy.B089",
    "warning",
    "Cloud SQL's backup {backup} of {instance} still runs after {seconds} s, so it is not known to be whole.",
    "See how it ends: gcloud sql backups describe {backup} --instance={name} --project={project}",
)
BUSY = FindingType(
    "deploy.B090",
    "error",
    "Cloud SQL's instance {instance} could not be {action}: after {seconds} s another operation still runs "
    "on it.",
    "See which: gcloud sql operations list --instance={name} --project={project} --filter='status!=DONE'",
    why="Cloud SQL carries out one operation at a time on an instance: a backup, a restart, a change.",
)
CLONE_LEFT = FindingType(
    "deploy.B091",
    "warning",
    "The clone {clone} of Cloud SQL's instance {instance} was not deleted, and costs money: {reason}.",
    "The next drill deletes it; or do it now: gcloud sql instances delete {clone} --project={project}",
)
CLONE_UNREACHABLE = FindingType(
    "deploy.B092",
    "error",
    "The clone {clone} of Cloud SQL's instance {instance} could not be used: {reason}.",
    "A clone has addresses and certificates of its own: let this machine reach the instance by its private "
    "address, with OPTIONS sslmode 'require' or 'verify-ca'; or set 'clone_over_bytes': 0 to restore the "
    "archive instead.",
)
CLONE_DIFFERS = FindingType(
    "deploy.B093",
    "warning",
    "The clone {clone}, of {moment}, is not as backup {id}, of {created}: {tables} tables differ, "
    "the first is {first}.",
    "What was written between the two moments differs; on a database at rest, do not rely on this backup: "
    "python manage.py backupdb",
)
CLONED = FindingType(
    "deploy.B094",
    "info",
    "The database has {size}, more than {limit}: the migrations were rehearsed on the clone {clone}, "
    "and the archive of backup {id} was decoded to the end, not restored.",
    "To restore the archive too: python manage.py backups verify {id} --grade L2",
)
