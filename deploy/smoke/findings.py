"""Everything a smoke test can find. Deploy.S00x: the way there; then one ten per probe."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

ADDRESS_INVALID = FindingType(
    "deploy.S001",
    "error",
    "The address to smoke is not usable: {reason}.",
    "python manage.py smoketest https://app.example.com",
)
UNREACHABLE = FindingType(
    "deploy.S002",
    "error",
    "{path} could not be asked: {reason}.",
    "Look whether the server runs and listens there: curl -sv {url}",
)
TIMED_OUT = FindingType(
    "deploy.S003",
    "error",
    "{path} did not answer within {seconds:g} s.",
    "Look what the server is waiting for in its log; a longer limit: DEPLOY['CHECK_TIMEOUT_SECONDS'].",
)
CERTIFICATE = FindingType(
    "deploy.S004",
    "error",
    "The certificate of {host} is not trusted: {reason}.",
    "openssl s_client -connect {host}:{port} -servername {host} </dev/null",
)
LEADS_AWAY = FindingType(
    "deploy.S005",
    "error",
    "{path} redirects to {location}, away from the server under test.",
    "A private port behind a TLS proxy: --behind-proxy --host PUBLIC.NAME; else smoke that address.",
)
TOO_LARGE = FindingType(
    "deploy.S006",
    "error",
    "The answer to {path} is larger than {limit_bytes} bytes.",
    "Check that the address is the application's and not a download.",
)
STOPPED = FindingType(
    "deploy.S009",
    "error",
    "The probe stopped on an unexpected {kind}: {text}",
    "Look at what the server sends: curl -si {url}",
)

NOT_LIVE = FindingType(
    "deploy.S010",
    "error",
    "/livez answers {status}, not 200.",
    'Put "deploy.health.middleware.HealthMiddleware" first in MIDDLEWARE; look into the server\'s log.',
)
NOT_READY = FindingType(
    "deploy.S011",
    "error",
    "/readyz answers {status}, not 200.",
    "Look for 'DatabaseAnswers fails' in the server's log; then: python manage.py preflight",
)
NOT_STARTED = FindingType(
    "deploy.S012",
    "error",
    "/startupz answers {status}, not 200.",
    "Look for 'SchemaIsThere fails' in the server's log; then: python manage.py migrategate wait",
)

VERSION_UNREADABLE = FindingType(
    "deploy.S020",
    "error",
    "/version answers {status} without a JSON object that names the release.",
    'Put "deploy.health.middleware.HealthMiddleware" first in MIDDLEWARE.',
)
WRONG_RELEASE = FindingType(
    "deploy.S021",
    "error",
    "The server runs release {found!r}, not {expected!r} ({wrong} of {asked} answers).",
    "Start the new release with RELEASE={expected}, or wait until the old one is drained, and smoke again.",
)
MIXED_RELEASES = FindingType(
    "deploy.S022",
    "error",
    "Several releases answer at this address: {found}.",
    "Finish the switch, then smoke again with --release NAME.",
)
WRONG_RELEASE_HEADER = FindingType(
    "deploy.S023",
    "error",
    "{path} comes with X-Release {found!r}, not {expected!r}.",
    "Set RELEASE for the server, keep HealthMiddleware first, and let no proxy drop or cache the header.",
)

NO_NOSNIFF = FindingType(
    "deploy.S030",
    "error",
    "{path} comes without 'X-Content-Type-Options: nosniff'.",
    "SECURE_CONTENT_TYPE_NOSNIFF = True, with SecurityMiddleware in MIDDLEWARE",
)
NO_REFERRER_POLICY = FindingType(
    "deploy.S031",
    "error",
    "{path} comes without a Referrer-Policy.",
    'SECURE_REFERRER_POLICY = "same-origin", with SecurityMiddleware in MIDDLEWARE',
)
FRAMEABLE = FindingType(
    "deploy.S032",
    "error",
    "{path} can be framed by any site: neither X-Frame-Options nor CSP frame-ancestors.",
    'Add "django.middleware.clickjacking.XFrameOptionsMiddleware" to MIDDLEWARE.',
)
NO_HSTS = FindingType(
    "deploy.S033",
    "warning",
    "{path} comes over HTTPS without a Strict-Transport-Security that holds.",
    "SECURE_HSTS_SECONDS = 31536000  # begin with 3600",
)
COOKIE_INSECURE = FindingType(
    "deploy.S034",
    "error",
    "{path} sets the cookie {name} over HTTPS without Secure.",
    "SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True",
)

NO_STATIC_LINK = FindingType(
    "deploy.S040",
    "warning",
    "No page of {pages} links a file under {static_url}.",
    'Use {{% static "…" %}} on the page, or set DEPLOY["SMOKE_LOGIN_PATH"] to one that does.',
)
STATIC_MISSING = FindingType(
    "deploy.S041",
    "error",
    "The static file {path} answers {status} with {size_bytes} bytes.",
    "python manage.py uploadstatic",
)
STATIC_WRONG_TYPE = FindingType(
    "deploy.S042",
    "error",
    "The static file {path} is served as {found!r}, not {expected!r}: browsers refuse it.",
    "Correct the Content-Type where it is served; then: python manage.py uploadstatic",
)
STATIC_NOT_IMMUTABLE = FindingType(
    "deploy.S043",
    "error",
    "The static file {path} comes with Cache-Control {found!r}, not 'public, max-age=31536000, immutable'.",
    "python manage.py uploadstatic  # sets it on every hashed name",
)
STATIC_NOT_HASHED = FindingType(
    "deploy.S044",
    "warning",
    "The static file {path} has no hash in its name: browsers keep the old one after a release.",
    'STORAGES = {{"staticfiles": {{"BACKEND": "deploy.assets.storage.HashedStaticFilesStorage"}}}}',
)

LOGIN_PAGE_BROKEN = FindingType(
    "deploy.S050",
    "error",
    "The login page {path} answers {status}, not 200.",
    "Look into the server's log, or set DEPLOY['SMOKE_LOGIN_PATH'] to where the login page is.",
)
NO_CSRF_COOKIE = FindingType(
    "deploy.S051",
    "error",
    "The login page {path} sets no CSRF cookie: nobody can log in.",
    "Keep django.middleware.csrf.CsrfViewMiddleware in MIDDLEWARE, and let no proxy drop Set-Cookie.",
)
NO_LOGIN_FORM = FindingType(
    "deploy.S052",
    "error",
    "The login page {path} has no form with a password and a CSRF token.",
    "Open it in a browser, or set DEPLOY['SMOKE_LOGIN_PATH'] to where the login page is.",
)
LOGIN_REFUSED = FindingType(
    "deploy.S053",
    "error",
    "The smoke account {account!r} could not log in at {path}: {reason}.",
    "It must exist, be active, and for the admin be staff: python manage.py changepassword {account}",
)

API_LOGIN_REFUSED = FindingType(
    "deploy.S060",
    "error",
    "The API's login {path} answers {status} to the smoke account.",
    "Check SMOKE_ACCOUNT and SMOKE_PASSWORD: python manage.py changepassword {account}",
)
API_NO_TOKEN = FindingType(
    "deploy.S061",
    "error",
    'The API\'s login {path} answers without a JSON object that has a "token".',
    "Correct DEPLOY['SMOKE_API_LOGIN_PATH'].",
)
API_BROKEN = FindingType(
    "deploy.S062",
    "error",
    "The API at {path} answers {status} to the smoke account, not 200.",
    "Look into the server's log, or correct DEPLOY['SMOKE_API_PATH'].",
)
API_NOT_JSON = FindingType(
    "deploy.S063",
    "error",
    "The API at {path} answers {found!r}, which is no JSON.",
    "Correct DEPLOY['SMOKE_API_PATH'].",
)

NOT_FOUND_WRONG = FindingType(
    "deploy.S070",
    "error",
    "A page that does not exist answers {status}, not 404.",
    "Look for a route or a proxy rule that catches every path.",
)
DEBUG_SHOWN = FindingType(
    "deploy.S071",
    "error",
    "The page for what is not found shows Django's debug output ({marker!r}).",
    "DEBUG = False  # in the server's settings",
)

ANY_HOST = FindingType(
    "deploy.S080",
    "error",
    "A request for the host {host} is answered with {status}, not refused.",
    'ALLOWED_HOSTS = ["{right}"]',
)
