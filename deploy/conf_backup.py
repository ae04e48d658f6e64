"""What the `DEPLOY` setting says of backups: `BACKUP_…`, `MEDIA_BUCKET`, `FIRESTORE`, `CLOUD_SQL`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.reporting.redaction import register_secret

from .conf_values import WRONG_TYPE, WRONG_VALUE, Reader, are_relative, is_bucket

MOST_JOBS = 32
GRADES = ("L0", "L1", "L2", "L3")
_PROJECT = re.compile(r"[a-z][a-z0-9:.-]{4,61}[a-z0-9]\Z")  # a Google Cloud project id, also domain-scoped
_VERSION = re.compile(r"projects/[a-z0-9:.-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[0-9]{1,9}\Z")
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}\Z")  # bech32 of 32 bytes
_RESOURCE = re.compile(r"[a-z(][a-z0-9()-]{0,97}\Z")  # an instance, or a Firestore database such as (default)


@dataclass(frozen=True, slots=True)
class FirestoreConf:
    """Which Firestore database belongs to the data.

    Attributes:
        project, database: Google Cloud's names; the database is `(default)` unless said.
        managed_export: `gs://BUCKET[/PREFIX]` that the managed export writes to, or empty for none.
        portable: take the portable export (every document as typed JSON) into the backup's own folder.
        endpoint: of the Firestore API, empty for Google's; without encryption, as the emulator speaks it.
        admin_endpoint: of the Firestore Admin API; empty for Google's. For tests and private endpoints.
    """

    project: str
    database: str
    managed_export: str
    portable: bool
    endpoint: str
    admin_endpoint: str


@dataclass(frozen=True, slots=True)
class CloudSQLConf:
    """Which Cloud SQL instance holds the database.

    Attributes:
        project, instance: Google Cloud's names.
        on_demand: take an on-demand backup of the instance beside each of ours.
        clone_over_bytes: over this size the drill uses a clone of the instance, not our archive; 0: never.
        endpoint: of the SQL Admin API; empty for Google's. For tests and private endpoints.
    """

    project: str
    instance: str
    on_demand: bool
    clone_over_bytes: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class BackupConf:
    """Durations are seconds, sizes bytes.

    Attributes:
        compression_level: zstd's, 1 to 19.
        jobs: connections that dump large tables side by side. restore_jobs: those that restore.
        digest_limit_bytes: tables up to this size are digested whole, larger ones by a sample of rows.
        age_recipients: public keys (`age1…`) that archives are encrypted for; empty: not encrypted.
        age_identity: the file with the private key that reads them (`BACKUP_AGE_IDENTITY`), or empty.
        keep: at least so many stay, whatever their age. keep_days: all of this many days stay.
        keep_daily, keep_weekly, keep_monthly, keep_yearly: of so many periods with a backup, the newest.
        max_age_seconds: `backups age` and the health check say no when the newest is older.
        grade: what predeploy proves (L0 to L3). apply_grade, apply_max_age_seconds: what `migrategate apply`
            asks of the newest backup; an empty grade asks for nothing.
        configuration_files: files below `base_dir` that are kept beside the data.
        terraform_state: `gs://BUCKET/PATH` of the state whose generation is noted, or empty.
        media_bucket: where FileFields store, or empty for no inventory.
        media_fields: `app_label.Model.field` of further fields that hold names of files there.
        media_strict: a file that the database names and the bucket lacks is an error, not a warning.
        secret_versions: Secret Manager's version by what has its value: a setting (`SECRET_KEY`,
            `DATABASES.default.PASSWORD`) or an environment variable.
    """

    compression_level: int
    jobs: int
    restore_jobs: int
    digest_limit_bytes: int
    age_recipients: tuple[str, ...]
    age_identity: str
    keep: int
    keep_days: int
    keep_daily: int
    keep_weekly: int
    keep_monthly: int
    keep_yearly: int
    max_age_seconds: float
    grade: str
    apply_grade: str
    apply_max_age_seconds: float
    configuration_files: tuple[str, ...]
    terraform_state: str
    media_bucket: str
    media_fields: tuple[str, ...]
    media_strict: bool
    secret_versions: Mapping[str, str]
    firestore: FirestoreConf | None
    cloud_sql: CloudSQLConf | None


def read_backup(take: Reader) -> BackupConf:
    """Take the keys of backups; mistakes become findings of `take`."""
    read = _read(take)
    if read.apply_grade and GRADES.index(read.apply_grade) > GRADES.index(read.grade):
        reason = f"predeploy proves to DEPLOY['BACKUP_GRADE'] only, {read.grade!r}, and could never apply any"
        take.findings.append(
            WRONG_VALUE(
                key="BACKUP_APPLY_GRADE",
                value=read.apply_grade,
                reason=reason,
                example=f"{read.grade!r}, or ['BACKUP_GRADE'] to {read.apply_grade!r}",
            )
        )
    return read


def _read(take: Reader) -> BackupConf:
    return BackupConf(
        compression_level=take.integer("BACKUP_COMPRESSION_LEVEL", 1, least=1, most=19),
        jobs=take.integer("BACKUP_JOBS", 1, least=1, most=MOST_JOBS),
        restore_jobs=take.integer("BACKUP_RESTORE_JOBS", 2, least=1, most=64),
        digest_limit_bytes=take.integer("BACKUP_DIGEST_LIMIT_BYTES", 16 * 1024**2, least=0, most=1024**5),
        age_recipients=_recipients(take),
        age_identity=_identity(take),
        keep=take.integer("BACKUP_KEEP", 14, least=1, most=10000),
        keep_days=take.integer("BACKUP_KEEP_DAYS", 7, least=0, most=36500),
        keep_daily=take.integer("BACKUP_KEEP_DAILY", 14, least=0, most=36500),
        keep_weekly=take.integer("BACKUP_KEEP_WEEKLY", 8, least=0, most=5200),
        keep_monthly=take.integer("BACKUP_KEEP_MONTHLY", 12, least=0, most=1200),
        keep_yearly=take.integer("BACKUP_KEEP_YEARLY", 0, least=0, most=100),
        max_age_seconds=take.number("BACKUP_MAX_AGE_SECONDS", 26 * 3600, least=60, most=366 * 86400),
        grade=take.text("BACKUP_GRADE", "L3", _is_grade, "'L3'"),
        apply_grade=take.text("BACKUP_APPLY_GRADE", "", _is_grade_or_none, "'L2'"),
        apply_max_age_seconds=take.number("BACKUP_APPLY_MAX_AGE_SECONDS", 3600, least=60, most=366 * 86400),
        configuration_files=_strings(
            take, "BACKUP_CONFIGURATION_FILES", "['docker/compose.gce.yaml']", _are_files
        ),
        terraform_state=take.text(
            "TERRAFORM_STATE", "", _is_object, "'gs://my-state/optifit/default.tfstate'"
        ),
        media_bucket=take.text("MEDIA_BUCKET", "", _is_bucket_or_none, "'gs://my-media'").rstrip("/"),
        media_fields=_strings(take, "MEDIA_FIELDS", "['shop.Product.picture_name']", _are_fields),
        media_strict=take.take("MEDIA_STRICT", False, "True or False", lambda v: isinstance(v, bool)),  # noqa: FBT003 – the default
        secret_versions=_secret_versions(take),
        firestore=_firestore(take),
        cloud_sql=_cloud_sql(take),
    )


def _strings(take: Reader, key: str, example: str, check: Any = lambda _: None) -> tuple[str, ...]:
    return tuple(
        take.take(
            key,
            (),
            "a list of strings",
            lambda v: isinstance(v, list | tuple) and all(isinstance(part, str) for part in v),
            check,
            example,
        )
    )


def _recipients(take: Reader) -> tuple[str, ...]:
    """`BACKUP_AGE_RECIPIENTS`."""
    # Not by a check of values: its finding would show what may be a private key.
    return tuple(
        take.take(
            "BACKUP_AGE_RECIPIENTS",
            (),
            "a list of public keys of age, such as age-keygen -y prints them (age1… of 62 characters)",
            lambda v: (
                isinstance(v, list | tuple)
                and all(isinstance(part, str) and _RECIPIENT.match(part) for part in v)
            ),
        )
    )


def _identity(take: Reader) -> str:
    """`BACKUP_AGE_IDENTITY`, from the setting or the environment; a key in its place is not shown again."""
    key, expected = "BACKUP_AGE_IDENTITY", "the path of the file that holds the private key"
    given = take.raw.get(key) or os.environ.get(key, "")
    if isinstance(given, str) and given.strip().upper().startswith("AGE-SECRET-KEY-"):
        register_secret(given)
        register_secret(given.strip())
        take.known.append(key)
        take.findings.append(WRONG_TYPE(key=key, actual="private key itself", expected=expected))
        return ""
    return take.take(key, os.environ.get(key, ""), expected, lambda v: isinstance(v, str))


def _are_files(values: Sequence[str]) -> str | None:
    return f"{values} are not all paths below BASE_DIR" if are_relative(values) else None


def _are_fields(values: Sequence[str]) -> str | None:
    return next((f"{v!r} is not app_label.Model.field" for v in values if v.count(".") != 2), None)


def _secret_versions(take: Reader) -> Mapping[str, str]:
    """`SECRET_VERSIONS`, over the variables `NAME_SECRET` that name the version which `NAME` came from."""
    # Not by a check of values: its finding would show what may be the secret itself.
    given: Mapping[str, str] = take.take(
        "SECRET_VERSIONS",
        {},
        "a dict of 'projects/my-project/secrets/secret-key/versions/7' by setting",
        lambda v: (
            isinstance(v, Mapping)
            and all(isinstance(key, str) and isinstance(v[key], str) and _VERSION.match(v[key]) for key in v)
        ),
    )
    variables = {
        name.removesuffix("_SECRET"): value
        for name, value in os.environ.items()
        if name.endswith("_SECRET") and _VERSION.match(value)
    }
    return {**variables, **given}


def _is_grade(value: str) -> str | None:
    return None if value in GRADES else f"it is not one of {', '.join(GRADES)}"


def _is_grade_or_none(value: str) -> str | None:
    return _is_grade(value) if value else None


def _is_bucket_or_none(value: str) -> str | None:
    return is_bucket(value) if value else None


def _is_object(value: str) -> str | None:
    if not value:
        return None
    if not value.startswith("gs://") or "/" not in value.removeprefix("gs://").rstrip("/"):
        return "it is not gs://BUCKET/PATH of one object"
    return is_bucket(value)


def _mapping(take: Reader, key: str, check: Any, example: str) -> Mapping[str, Any]:
    return take.take(key, {}, "a dict", lambda v: isinstance(v, Mapping), check, example)


def _firestore(take: Reader) -> FirestoreConf | None:
    example = "{'project': 'my-project', 'managed_export': 'gs://my-exports'}"
    given = _mapping(take, "FIRESTORE", _is_firestore, example)
    if not given:
        return None
    return FirestoreConf(
        project=given["project"],
        database=given.get("database", "(default)"),
        managed_export=given.get("managed_export", "").rstrip("/"),
        portable=given.get("portable", True),
        endpoint=given.get("endpoint", _emulator()),
        admin_endpoint=given.get("admin_endpoint", "").rstrip("/"),
    )


def _emulator() -> str:
    """Where Google's own clients look for the emulator too."""
    host = os.environ.get("FIRESTORE_EMULATOR_HOST", "")
    return f"http://{host}" if host else ""


def _is_firestore(value: Mapping[str, Any]) -> str | None:
    kinds = {
        "project": str,
        "database": str,
        "managed_export": str,
        "portable": bool,
        "endpoint": str,
        "admin_endpoint": str,
    }
    reason = _of_kinds(value, kinds, "project")
    if reason or not value:
        return reason
    if not _RESOURCE.match(value.get("database", "(default)")):
        return "'database' is not a Firestore database's name"
    if value.get("endpoint") and not value["endpoint"].startswith("http://"):
        return "'endpoint' is not http://HOST:PORT of an emulator"
    if value.get("admin_endpoint") and not value["admin_endpoint"].startswith(("http://", "https://")):
        return "'admin_endpoint' is not http(s)://HOST[:PORT]"
    export = value.get("managed_export", "")
    return (
        "'managed_export' is not gs://BUCKET[/PREFIX]" if export and not export.startswith("gs://") else None
    )


def _cloud_sql(take: Reader) -> CloudSQLConf | None:
    given = _mapping(take, "CLOUD_SQL", _is_cloud_sql, "{'project': 'my-project', 'instance': 'my-instance'}")
    if not given:
        return None
    return CloudSQLConf(
        project=given["project"],
        instance=given["instance"],
        on_demand=given.get("on_demand", True),
        clone_over_bytes=given.get("clone_over_bytes", 0),
        endpoint=given.get("endpoint", ""),
    )


def _is_cloud_sql(value: Mapping[str, Any]) -> str | None:
    kinds = {"project": str, "instance": str, "on_demand": bool, "clone_over_bytes": int, "endpoint": str}
    reason = _of_kinds(value, kinds, "project", "instance")
    if reason or not value:
        return reason
    if not _RESOURCE.match(value["instance"]):
        return "'instance' is not an instance's name"
    if (reason := _is_endpoint(value.get("endpoint", ""))) is not None:
        return f"'endpoint' {reason}"
    return "'clone_over_bytes' is negative" if value.get("clone_over_bytes", 0) < 0 else None


def _is_endpoint(value: str) -> str | None:
    """An access token goes there, so it is encrypted on its way to another machine."""
    if not value or re.match(r"https://[^/]+/?\Z", value):
        return None
    if re.match(r"http://(127\.[\d.]+|\[::1\])(:\d+)?/?\Z", value):
        return None
    return "is not https://HOST[:PORT] (http:// only for 127.0.0.1)"


def _of_kinds(value: Mapping[str, Any], kinds: Mapping[str, type], *required: str) -> str | None:
    if not value:
        return None
    if unknown := sorted(set(map(str, value)) - set(kinds)):
        return f"it has no key {unknown[0]!r}; the keys are {', '.join(kinds)}"
    if missing := [key for key in required if not value.get(key)]:
        return f"it has no {missing[0]!r}"
    for key, kind in kinds.items():
        if key in value and type(value[key]) is not kind:
            return f"{key!r} is a {type(value[key]).__name__}, not a {kind.__name__}"
    return None if _PROJECT.match(value["project"]) else "'project' is not a Google Cloud project's id"
