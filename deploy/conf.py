"""The one place that reads the `DEPLOY` setting and the environment, as a typed, validated object.

Every key has its default here; every mistake is a finding with an id. Nothing else in `deploy` reads
`settings.DEPLOY` or `os.environ`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from deploy.conf_backup import BackupConf, read_backup
from deploy.conf_maintenance import MaintenanceConf, read_maintenance
from deploy.conf_values import NAME, Reader, are_relative, is_bucket, is_name, is_openapi, is_path
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.redaction import register_secret

NOT_A_DICT = FindingType(
    "deploy.C004",
    "error",
    "The DEPLOY setting is a {actual}, not a dict.",
    "Write DEPLOY = {{...}} or leave it out.",
)
UNKNOWN_DATABASE = FindingType(
    "deploy.C005",
    "error",
    "DEPLOY['DATABASE'] is {alias!r}, which DATABASES does not have.",
    "Use one of: {known}.",
)
RELEASE_INVALID = FindingType(
    "deploy.C006",
    "error",
    "The release name {release!r} is not usable: {reason}.",
    "Use a commit hash or a tag: RELEASE=$(git rev-parse HEAD)",
)

__all__ = ["NAME", "DeployConf", "load", "read"]


@dataclass(frozen=True, slots=True)
class DeployConf:
    """The effective configuration. Durations are seconds, sizes bytes.

    Attributes:
        project, environment: who owns what lies in the bucket; records of other pairs are never touched.
        bucket: ledger, lock and backups: `gs://NAME[/PREFIX]` or `file:///PATH`.
        static_bucket: hashed static files, publicly readable or served by the application.
        database: alias in DATABASES that a release migrates and backs up.
        release: name of the release this process is or deploys (`RELEASE`), or None to derive it.
        image: digest of the container image (`IMAGE_DIGEST`), or empty.
        owner: who runs this, for the lock and the ledger, without secrets: user@host:pid or the CI run.
        postgresql_version: major version of the server, for a judgement that asks no database; 0: not known.
        gate_baseline: the file of known findings of migrations, below `base_dir`; it need not be there.
        statement_lock_timeout_seconds: for how long a statement of a migration may wait for its lock.
        statement_timeout_seconds: for how long one that stops writers may run; 0 for as long as it likes.
        apply_timeout_seconds: for how long migrations are tried altogether.
        deferred_migrations: `app_label.migration_name` of the contract migrations that this release leaves to
            postdeploy (`DEFERRED_MIGRATIONS`, separated by spaces): starting does not wait for them.
        lock_token: of the lock that a `releases hold` holds for this process (`DEPLOY_LOCK_TOKEN`), or empty.
        drain_file: /readyz answers 503 while it exists (`DRAIN_FILE`); empty: this process is never drained.
        switch: argv that moves traffic to a release; `{release}` in an argument is replaced. Empty: by hand.
        static_unhashed: static files that keep their plain name (robots.txt), cached for minutes only.
        openapi_path, openapi_callable: the committed schema and the dotted path of what makes it, or empty.
        backup: see `BackupConf`. maintenance: see `MaintenanceConf`.
        drill_limit_bytes: predeploy cuts the migrations off at every statement (the interruption drill) where
            the restored copy is not larger.
        min_free_bytes: preflight refuses to start with less free disk.
        base_dir: folder of the project's manage.py; relative defaults live in `base_dir/.deploy`.
    """

    project: str
    environment: str
    bucket: str
    static_bucket: str
    database: str
    release: str | None
    image: str
    owner: str
    base_dir: Path
    pg_bin: str
    switch: tuple[str, ...]
    lock_ttl_seconds: float
    lock_token: str
    check_timeout_seconds: float
    postgresql_version: int
    gate_baseline: str
    statement_lock_timeout_seconds: float
    statement_timeout_seconds: float
    apply_timeout_seconds: float
    wait_timeout_seconds: float
    deferred_migrations: tuple[str, ...]
    drain_file: str
    backup: BackupConf
    maintenance: MaintenanceConf
    upload_threads: int
    scratch_prefix: str
    drill_limit_bytes: int
    smoke_account: str
    smoke_password: str
    smoke_timeout_seconds: float
    smoke_login_path: str
    smoke_api_path: str
    smoke_api_login_path: str
    github_actions: bool
    github_step_summary: str
    static_unhashed: tuple[str, ...]
    openapi_path: str
    openapi_callable: str
    min_free_bytes: int


def _project_name() -> str:
    """The package of the URLconf, as `startproject` lays it out; "project" for settings without one."""
    return str(getattr(settings, "ROOT_URLCONF", None) or "project").partition(".")[0]


def _base_dir() -> Path:
    base = getattr(settings, "BASE_DIR", None)
    return Path(base).resolve() if base else Path.cwd()


def _owner() -> str:
    run, actor = os.environ.get("GITHUB_RUN_ID"), os.environ.get("GITHUB_ACTOR")
    who = f"{actor or 'github'}/run-{run}" if run else os.environ.get("USER") or f"uid-{os.getuid()}"
    return f"{who}@{socket.gethostname()}:{os.getpid()}"


def read() -> tuple[DeployConf, list[Finding]]:
    """The effective configuration and a finding for every mistake in it (defaults stand in for mistakes)."""
    raw = getattr(settings, "DEPLOY", None) or {}
    not_a_dict = None
    if not isinstance(raw, Mapping):
        not_a_dict = NOT_A_DICT(actual=type(raw).__name__)
        raw = {}
    take = Reader(raw)
    base_dir = _base_dir()
    local = f"file://{base_dir / '.deploy'}"
    aliases = dict(getattr(settings, "DATABASES", {}) or {})
    release = take.text("RELEASE", os.environ.get("RELEASE", "")) or None
    openapi: Mapping[str, str] = take.take(
        "OPENAPI",
        {},
        "a dict of 'path' and 'callable'",
        lambda v: isinstance(v, Mapping),
        is_openapi,
        "{'path': 'docs/openapi.json', 'callable': 'project.api.openapi_schema'}",
    )
    conf = DeployConf(
        project=take.text("PROJECT", _project_name(), is_name, "'optifit'"),
        environment=take.text(
            "ENVIRONMENT", "local" if settings.DEBUG else "production", is_name, "'production'"
        ),
        bucket=take.text("BUCKET", f"{local}/bucket", is_bucket, "'gs://my-bucket/optifit'").rstrip("/"),
        static_bucket=take.text(
            "STATIC_BUCKET", f"{local}/static", is_bucket, "'gs://my-static-bucket'"
        ).rstrip("/"),
        database=take.text("DATABASE", "default"),
        release=release,
        image=take.text("IMAGE", os.environ.get("IMAGE_DIGEST", "")),
        owner=take.text("OWNER", _owner()),
        base_dir=base_dir,
        pg_bin=take.text("PG_BIN", ""),
        switch=tuple(
            take.take(
                "SWITCH",
                (),
                "a list of strings (an argv, no shell line)",
                lambda v: isinstance(v, list | tuple) and all(isinstance(part, str) for part in v),
            )
        ),
        lock_ttl_seconds=take.number("LOCK_TTL_SECONDS", 60, least=1, most=3600),
        lock_token=os.environ.get("DEPLOY_LOCK_TOKEN", ""),
        check_timeout_seconds=take.number("CHECK_TIMEOUT_SECONDS", 10, least=0.1, most=300),
        postgresql_version=take.integer("POSTGRESQL_VERSION", 0, least=0, most=99),
        gate_baseline=take.take(
            "GATE_BASELINE",
            "deploy-gate-baseline.json",
            "a string",
            lambda v: isinstance(v, str),
            lambda v: are_relative([v]),
            "'deploy-gate-baseline.json', a path below BASE_DIR",
        ),
        statement_lock_timeout_seconds=take.number("STATEMENT_LOCK_TIMEOUT_SECONDS", 2, least=0.05, most=60),
        # Half of gunicorn's default worker timeout: workers that wait for longer get killed.
        statement_timeout_seconds=take.number("STATEMENT_TIMEOUT_SECONDS", 15, least=0, most=86400),
        apply_timeout_seconds=take.number("APPLY_TIMEOUT_SECONDS", 600, least=1, most=86400),
        wait_timeout_seconds=take.number("WAIT_TIMEOUT_SECONDS", 120, least=0, most=3600),
        deferred_migrations=tuple(
            take.take(
                "DEFERRED_MIGRATIONS",
                os.environ.get("DEFERRED_MIGRATIONS", "").split(),
                "a list of 'app_label.migration_name'",
                lambda v: isinstance(v, list | tuple) and all(isinstance(name, str) for name in v),
                lambda v: next((f"{n!r} is not app_label.migration_name" for n in v if "." not in n), None),
            )
        ),
        drain_file=take.text("DRAIN_FILE", os.environ.get("DRAIN_FILE", "")),
        backup=read_backup(take),
        maintenance=read_maintenance(take),
        upload_threads=take.integer("UPLOAD_THREADS", 32, least=1, most=128),
        scratch_prefix=take.text("SCRATCH_PREFIX", "deploy_scratch", is_name, "'deploy_scratch'"),
        drill_limit_bytes=take.integer("DRILL_LIMIT_BYTES", 64 * 1024**2, least=0, most=1024**5),
        smoke_account=take.text("SMOKE_ACCOUNT", os.environ.get("SMOKE_ACCOUNT", "")),
        smoke_password=take.text("SMOKE_PASSWORD", os.environ.get("SMOKE_PASSWORD", "")),
        smoke_timeout_seconds=take.number("SMOKE_TIMEOUT_SECONDS", 60, least=1, most=600),
        smoke_login_path=take.text("SMOKE_LOGIN_PATH", "/admin/login/", is_path, "'/admin/login/'"),
        smoke_api_path=take.text("SMOKE_API_PATH", ""),
        smoke_api_login_path=take.text("SMOKE_API_LOGIN_PATH", ""),
        github_actions=os.environ.get("GITHUB_ACTIONS") == "true",
        github_step_summary=os.environ.get("GITHUB_STEP_SUMMARY", ""),
        static_unhashed=tuple(
            take.take(
                "STATIC_UNHASHED",
                (),
                "a list of paths below STATIC_URL",
                lambda v: isinstance(v, list | tuple) and all(isinstance(part, str) for part in v),
                are_relative,
                "['robots.txt', 'favicon.ico']",
            )
        ),
        openapi_path=openapi.get("path", ""),
        openapi_callable=openapi.get("callable", ""),
        min_free_bytes=take.integer("MIN_FREE_BYTES", 256 * 1024**2, least=0, most=2**63),
    )
    take.unknown()
    findings = [*([not_a_dict] if not_a_dict else []), *take.findings]
    if conf.database not in aliases:
        findings.append(UNKNOWN_DATABASE(alias=conf.database, known=", ".join(aliases) or "(none)"))
    if release and (reason := is_name(release)):
        findings.append(RELEASE_INVALID(release=release, reason=reason))
    _register_secrets(conf, aliases)
    return conf, findings


def load() -> DeployConf:
    """The effective configuration.

    Raises:
        Refusal: exit code 2, with a finding for every mistake in DEPLOY.
    """
    conf, findings = read()
    if findings:
        raise Refusal(*findings)
    return conf


def _password_of(address: str) -> str:
    """The password in an address such as redis://:PASSWORD@host, as it stands there; empty without one."""
    try:
        return urlsplit(address).password or ""
    except ValueError:
        return ""


def _register_secrets(conf: DeployConf, databases: Mapping[str, Any]) -> None:
    with suppress(ImproperlyConfigured):  # an empty key: Django says so when it is used; nothing to hide here
        register_secret(settings.SECRET_KEY)
    for fallback in getattr(settings, "SECRET_KEY_FALLBACKS", ()):
        register_secret(fallback)
    for database in databases.values():
        register_secret(database.get("PASSWORD", ""))
        register_secret((database.get("OPTIONS") or {}).get("password", ""))
    for cache in (getattr(settings, "CACHES", None) or {}).values():
        places = cache.get("LOCATION") or ()
        for place in (places,) if isinstance(places, str) else places:
            register_secret(_password_of(str(place)))
    register_secret(conf.smoke_password)
    register_secret(getattr(settings, "EMAIL_HOST_PASSWORD", ""))
    register_secret(getattr(settings, "SENTRY_DSN", ""))
