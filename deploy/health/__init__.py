"""Health endpoints: `/livez`, `/readyz`, `/startupz`, `/version` and the `X-Release` header.

A project adds `deploy.health.middleware.HealthMiddleware` as the first entry of MIDDLEWARE; that alone serves
all four. `deploy.health.urls` gives them names for `reverse()`. Nothing heavy is imported here: every start
of `manage.py` and the container's own probe (`python -m deploy.health.probe`) pay for this package.
"""

LIVEZ = "/livez"
READYZ = "/readyz"
STARTUPZ = "/startupz"
VERSION = "/version"
RELEASE_HEADER = "X-Release"
