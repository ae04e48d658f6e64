"""What OptiFit's settings read out of the environment, and what each variable has to look like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .database_url import DatabaseUrlError, parse_database_url
from .typed_variables import EnvironmentMistakes, Mistake, TypedVariables

__all__ = ["VARIABLES", "Environment", "EnvironmentMistakes", "Mistake", "is_strong"]

# Every variable that optifit/settings.py reads; a test keeps the two equal.
VARIABLES = (
    "DJANGO_DEBUG",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "TRUSTED_PROXIES",
    "SECURE_SSL_REDIRECT",
    "SECURE_HSTS_SECONDS",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS",
    "SECURE_HSTS_PRELOAD",
    "DATABASE_URL",
    "DATABASE_CONN_MAX_AGE_SECONDS",
    "GS_MEDIA_BUCKET",
    "GS_IAM_SIGN_BLOB",
    "MEDIA_ROOT",
    "STATIC_URL",
    "STATIC_ROOT",
    "STATIC_BUCKET",
    "DEPLOY_BUCKET",
    "ENVIRONMENT",
    "RELEASE",
    "SENTRY_DSN",
    "SENTRY_ENVIRONMENT",
    "LOG_LEVEL",
    "API_TOKEN_LIFETIME_SECONDS",
    "IMAGE_MAX_BYTES",
    "SIGNED_URL_SECONDS",
)

# Those that may be given as a file (docker/entrypoint, `file:///PATH`): a bucket can be called like that.
SECRETS = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "SENTRY_DSN", "SMOKE_PASSWORD")

NEW_KEY_COMMAND = "export SECRET_KEY=\"$(python -c 'import secrets; print(secrets.token_urlsafe(50))')\""

_RELEASE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
_GCS_BUCKET = re.compile(r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$")


class Environment(TypedVariables):
    """The variables that mean something to OptiFit. Every mistake is told at once, by `finish`."""

    def secret_key(self, *, development: str | None) -> str:
        """Django's signing key. `development` stands in when it is not None and nothing is set."""
        value = self.text("SECRET_KEY", secret=True)
        if not value:
            if development is None:
                self.missing("SECRET_KEY", "sessions and signed values would not be safe", NEW_KEY_COMMAND)
            return development or ""
        if development is None and not is_strong(value):
            self.wrong(
                "SECRET_KEY",
                None,
                "at least 50 random characters, not one made by startproject",
                NEW_KEY_COMMAND,
            )
        return value

    def hosts(self, name: str) -> list[str]:
        """Host names for ALLOWED_HOSTS: no scheme, port or path; a leading dot takes subdomains."""
        return self.names(
            name,
            wants="host names separated by commas, without scheme, port or path",
            accepts=lambda part: (
                part == "*"
                or bool(re.fullmatch(r"\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", part))
            ),
            example="optifit.example,www.optifit.example",
        )

    def origins(self, name: str) -> list[str]:
        """Origins for CSRF_TRUSTED_ORIGINS: scheme and host."""
        return self.names(
            name,
            wants="origins separated by commas, each with its scheme",
            accepts=lambda part: bool(re.fullmatch(r"https?://[A-Za-z0-9.*\[\]:-]+", part)),
            example="https://optifit.example",
        )

    def database(self, name: str, base_dir: Path, *, required: bool) -> dict[str, Any] | None:
        """An entry for DATABASES, or None where nothing (usable) is set."""
        value = self.text(name)
        if not value:
            if required:
                self.missing(
                    name,
                    "production never falls back to an embedded database",
                    f"export {name}=postgresql://USER:PASSWORD@HOST:5432/NAME",
                )
            return None
        try:
            return parse_database_url(value, base_dir)
        except DatabaseUrlError as error:
            self.wrong(name, None, str(error), f"export {name}=postgresql://USER:PASSWORD@HOST:5432/NAME")
            return None

    def gcs_bucket(self, name: str) -> str:
        """The bare name of a Google Cloud Storage bucket."""
        return self.text(
            name,
            wants="the name of a bucket, without gs:// and path",
            accepts=lambda text: bool(_GCS_BUCKET.match(text)),
            example="optifit-media",
        )

    def bucket(self, name: str) -> str:
        """`gs://BUCKET[/PREFIX]` or `file:///PATH`, as DEPLOY takes it; a bare bucket name gets its gs://."""
        value = self.text(
            name,
            wants="gs://BUCKET[/PREFIX] or file:///ABSOLUTE/PATH",
            accepts=lambda text: (
                bool(_GCS_BUCKET.match(text))
                or text.startswith("file:///")
                or bool(re.match(r"^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$", text))
            ),
            example="gs://optifit-deploy",
        )
        return f"gs://{value}" if _GCS_BUCKET.match(value) else value

    def release(self, name: str) -> str:
        """A commit hash or tag: what `deploy` takes as the name of a release."""
        return self.text(
            name,
            wants="a commit hash or tag of letters, digits, '.', '_' and '-', 100 at most",
            accepts=lambda text: bool(_RELEASE.match(text)),
            example='"$(git rev-parse HEAD)"',
        )

    def static_url(self, name: str) -> str:
        """A path or an https address under which the static files are; always ends in a slash."""
        value = self.text(
            name,
            "/static/",
            wants="a path like /static/ or an address like https://cdn.example/static/",
            accepts=lambda text: (
                bool(re.fullmatch(r"(https?://[A-Za-z0-9.:-]+)?/([\w.~/-]*)", text))
                and not text.startswith("//")
            ),
            example="https://storage.googleapis.com/optifit-static/",
        )
        return value if value.endswith("/") else f"{value}/"

    def sentry_dsn(self, name: str) -> str:
        """Sentry's address of a project; it carries a key, so it is treated as a secret."""
        return self.text(
            name,
            wants="an address like https://KEY@HOST/PROJECT",
            accepts=_is_dsn,
            example="https://KEY@o1.ingest.sentry.io/1",
            secret=True,
        )


def is_strong(key: str) -> bool:
    """What Django's security.W009 asks of a SECRET_KEY: 50 characters, 5 different, not startproject's."""
    return len(key) >= 50 and len(set(key)) >= 5 and not key.startswith("django-insecure-")


def _is_dsn(value: str) -> bool:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError when it isn't a number
    except ValueError:
        return False
    return bool(
        parts.scheme in ("http", "https")
        and parts.username
        and parts.hostname
        and re.search(r"/\d+$", parts.path)
    )
