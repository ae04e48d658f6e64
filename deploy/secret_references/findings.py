"""Findings about secrets that are given by reference. None of them can hold a value."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

MALFORMED = FindingType(
    "deploy.H020",
    "error",
    "{variable} is a reference of no usable form: {reason}.",
    "export {variable}=sm://my-project/my-secret#7   # or file:///run/secrets/my-secret",
    why="[PROJECT/]NAME[#VERSION]; without a version it is the newest one.",
)
NOT_THERE = FindingType(
    "deploy.H021",
    "error",
    "{variable}: Secret Manager has no {reference}.",
    "gcloud secrets versions list {name} --project {project}",
)
FORBIDDEN = FindingType(
    "deploy.H022",
    "error",
    "{variable}: this process may not read {reference}.",
    "gcloud secrets add-iam-policy-binding {name} --project {project} "
    "--member serviceAccount:SERVICE_ACCOUNT --role roles/secretmanager.secretAccessor",
)
NOT_ENABLED = FindingType(
    "deploy.H023",
    "error",
    "{variable}: Secret Manager refuses {reference}: {reason}.",
    "gcloud secrets versions list {name} --project {project}",
    why="A version that is disabled or destroyed can't be read, nor can `latest` while it is the newest.",
)
NO_ANSWER = FindingType(
    "deploy.H024",
    "error",
    "{variable}: {reference} could not be read within {seconds:g} seconds: {reason}.",
    "gcloud secrets versions access {version} --secret {name} --project {project} | wc -c",
)
NO_CLIENT = FindingType(
    "deploy.H025",
    "error",
    "{variable}: {reference} needs google-cloud-secret-manager: there is no module {module}.",
    "pip install 'optifit-deploy[google]'",
)
NO_CREDENTIALS = FindingType(
    "deploy.H026",
    "error",
    "{variable}: {reference} needs credentials of Google Cloud, and there are none ({reason}).",
    "gcloud auth application-default login   # on a VM: give it a service account",
)
NO_PROJECT = FindingType(
    "deploy.H027",
    "error",
    "{variable}: {reference} names no project, and the environment does not either.",
    "export GOOGLE_CLOUD_PROJECT=my-project",
)
UNUSABLE = FindingType(
    "deploy.H028",
    "error",
    "{variable}: what {reference} holds can't be an environment variable: {reason}.",
    "Write it again as one text in UTF-8.",
)
FILE_UNREADABLE = FindingType(
    "deploy.H029",
    "error",
    "{variable}: {reference} can't be read: {reason}.",
    "ls -l {path}",
)
