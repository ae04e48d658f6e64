"""Which Cloud SQL instance, a client of its Admin API, and what its refusals mean."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.conf_backup import CloudSQLConf
from deploy.reporting.findings import Finding, Refusal

from .findings import CLIENT_MISSING, FAILED, FORBIDDEN, INSTANCE_MISSING

# https://cloud.google.com/sql/docs/postgres/roles-and-permissions
EDITOR = "roles/cloudsql.editor"
ADMIN = "roles/cloudsql.admin"

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_SECONDS = 60
# Answers of 5xx and 429 and lost connections; the client waits up to 1, 2, 4 and 8 seconds in between.
READ_RETRIES = 4


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance by Google Cloud's names."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}:{self.name}"


def instance_of(conf: CloudSQLConf) -> Instance:
    """The one that the configuration names."""
    return Instance(conf.project, conf.instance)


@contextmanager
def connected(conf: CloudSQLConf) -> Iterator[Any]:
    """A client of the SQL Admin API, version 1, by the discovery document that the library brings along.

    With the application default credentials; an endpoint on this machine (a test's server) gets none.

    Raises:
        Refusal: deploy.B085 without the library, B086 without credentials.
    """
    instance = instance_of(conf)
    try:
        import google_auth_httplib2
        import httplib2
        from google.auth.credentials import AnonymousCredentials
        from googleapiclient.discovery import build
    except ImportError as error:
        raise Refusal(CLIENT_MISSING(instance=instance, module=error.name)) from error
    if is_loopback(conf.endpoint):
        credentials: Any = AnonymousCredentials()
    else:
        import google.auth

        with refusing(instance, "reached", ADMIN):
            credentials, _ = google.auth.default(scopes=[_SCOPE])
    http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http(timeout=_TIMEOUT_SECONDS))
    options = {"api_endpoint": conf.endpoint} if conf.endpoint else None
    service = build(
        "sqladmin", "v1", http=http, static_discovery=True, cache_discovery=False, client_options=options
    )
    with service:
        yield service


def is_loopback(endpoint: str) -> bool:
    """The endpoint's host is an address of this machine's own; a name is not: it can lead anywhere."""
    try:
        return ipaddress.ip_address(urlsplit(endpoint).hostname or "").is_loopback
    except ValueError:
        return False


@contextmanager
def refusing(instance: Instance, action: str, role: str) -> Iterator[None]:
    """What the client raises in the block becomes a refusal with the command that helps.

    Args:
        action: the past participle of what is tried.
        role: what a grant would need.
    """
    try:
        yield
    except errors() as error:
        raise Refusal(finding_of(error, instance, action, role)) from error


def errors() -> tuple[type[Exception], ...]:
    """What the client raises: an answer that says no, no answer, no credentials."""
    from http.client import HTTPException

    from google.auth.exceptions import GoogleAuthError
    from googleapiclient.errors import Error
    from httplib2 import HttpLib2Error

    return (Error, GoogleAuthError, HttpLib2Error, HTTPException, OSError)


def finding_of(error: Exception, instance: Instance, action: str, role: str) -> Finding:
    """What is said of one of `errors`: deploy.B086, B087 or B088."""
    from google.auth.exceptions import GoogleAuthError

    values: dict[str, Any] = {
        "instance": instance,
        "project": instance.project,
        "action": action,
        "reason": reason_of(error),
    }
    status = status_of(error)
    if status in (401, 403) or isinstance(error, GoogleAuthError):
        return FORBIDDEN(**values, role=role)
    if status == 404:
        return INSTANCE_MISSING(**values)
    return failed(instance, action, values["reason"])


def failed(instance: Instance, action: str, reason: object) -> Finding:
    """deploy.B088 for what no library's error says."""
    return FAILED(
        instance=instance, project=instance.project, name=instance.name, action=action, reason=reason
    )


def status_of(error: Exception) -> int:
    """The answer's HTTP status; 0 where there was no answer."""
    return int(getattr(getattr(error, "resp", None), "status", 0))


def code_of(error: Exception) -> str:
    """The API's own word for it, such as `operationInProgress`; empty where it has none."""
    try:
        details = json.loads(getattr(error, "content", b"") or b"{}")["error"]["errors"]
        return str(details[0]["reason"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


def reason_of(error: Exception) -> str:
    """The first line of what the API said, as part of a sentence."""
    text = str(getattr(error, "reason", "") or error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:300]
