"""What exports and restores of Firestore have to say: the findings `deploy.B075` to `B084`."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

CLIENT_MISSING = FindingType(
    "deploy.B075",
    "error",
    "Firestore's database {database} needs google-cloud-firestore, and its module {module} is not installed.",
    "pip install 'google-cloud-firestore>=2.34,<3'",
)
FORBIDDEN = FindingType(
    "deploy.B076",
    "error",
    "Firestore's database {database} could not be {action}: {reason}.",
    "Sign in (gcloud auth application-default login), or grant the role: gcloud projects "
    "add-iam-policy-binding {project} --member=serviceAccount:ACCOUNT --role={role}",
    why="A managed export also needs Firestore's own service agent to be allowed to write to the bucket: "
    "service-PROJECT_NUMBER@gcp-sa-firestore.iam.gserviceaccount.com with roles/storage.admin on it.",
)
DATABASE_MISSING = FindingType(
    "deploy.B077",
    "error",
    "Firestore's database {database} could not be {action}: {reason}.",
    "See which there are: gcloud firestore databases list --project={project}",
)
VERSIONS_GONE = FindingType(
    "deploy.B078",
    "error",
    "Firestore's database {database} no longer shows how it was at {moment}: {reason}.",
    "Keep versions for 7 days instead of an hour: gcloud firestore databases update --project={project} "
    "--database='{name}' --enable-pitr",
    why="Without point-in-time recovery Firestore keeps versions for one hour, so a longer export "
    "can't show one moment.",
    source="https://cloud.google.com/firestore/docs/pitr",
)
FAILED = FindingType(
    "deploy.B079",
    "error",
    "Firestore's database {database} could not be {action}: {reason}.",
    "Look at it: gcloud firestore databases describe --project={project} --database='{name}'",
)
STILL_RUNNING = FindingType(
    "deploy.B080",
    "warning",
    "The managed export of {database} still runs after {seconds} s, so it is not known to be whole.",
    "See how it ends: gcloud firestore operations describe '{operation}'",
)
NOT_KEPT = FindingType(
    "deploy.B081",
    "error",
    "The backup {id} holds no {what} export of Firestore: {reason}.",
    "Set DEPLOY['FIRESTORE'] = {{'project': '…'}} for the next one; see which backups there are: "
    "python manage.py backups list",
)
NOT_EMPTY = FindingType(
    "deploy.B082",
    "error",
    "{target} is not empty: {foreign} of its documents are not in backup {id}, and {different} are there "
    "with other content.",
    "Restore into a new database: gcloud firestore databases create --project={project} "
    "--database=restored --location=LOCATION; or add to this one, overwriting nothing, with --into-nonempty",
)
DIFFERS = FindingType(
    "deploy.B083",
    "error",
    "{target} is not as backup {id} says: of {documents} documents {missing} are missing and {different} "
    "differ; the first is {first}.",
    "Documents that were there before are never overwritten; restore into an empty database: "
    "gcloud firestore databases create --project={project} --database=restored --location=LOCATION",
)
SKEWED = FindingType(
    "deploy.B084",
    "warning",
    "The export of Firestore is of {moment}, {seconds} s after the database's snapshot.",
    "Let Firestore keep versions for 7 days: gcloud firestore databases update --project={project} "
    "--database='{name}' --enable-pitr",
    why="Firestore shows any moment of the last hour; with point-in-time recovery also any whole minute of "
    "7 days, so the export is then of the snapshot's moment however long the dump takes.",
    source="https://cloud.google.com/firestore/docs/pitr",
)
