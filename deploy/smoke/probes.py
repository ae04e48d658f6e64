"""The checklist, in the order it is reported."""

from __future__ import annotations

from . import account, pages, serving
from .probe import Probe

PROBES = (
    Probe("livez", serving.livez, waits=True),
    Probe("readyz", serving.readyz, waits=True),
    Probe("startupz", serving.startupz, waits=True),
    Probe("version", serving.version),
    Probe("release header", serving.release_header),
    Probe("security headers", pages.security_headers),
    Probe("static files", pages.static_files),
    Probe("login page", account.login_page),
    Probe("login", account.login),
    Probe("api", account.api),
    Probe("not found", pages.not_found),
    Probe("wrong host", pages.wrong_host),
)
