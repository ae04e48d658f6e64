"""What the `DEPLOY` setting says of maintenance: `MAINTENANCE_…`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from .conf_values import Reader

MIDDLEWARE = "deploy.maintenance.middleware.MaintenanceMiddleware"
# Probes, and what staff need to sign in.
_OPEN = ("/livez", "/readyz", "/startupz", "/version", "/admin/login/", "/admin/logout/")


@dataclass(frozen=True, slots=True)
class MaintenanceConf:
    """Who is let through during maintenance, and how soon it is known.

    Attributes:
        installed: the middleware is in MIDDLEWARE.
        refresh_seconds: how old what a process knows may be: at most one look at the bucket in this time.
        api_prefixes: paths that are answered as JSON; others too, where the client prefers it.
        open_paths: paths, and what lies below them, that are answered as ever.
    """

    installed: bool
    refresh_seconds: float
    api_prefixes: tuple[str, ...]
    open_paths: tuple[str, ...]


def read_maintenance(take: Reader) -> MaintenanceConf:
    """The part of the configuration; mistakes are the reader's findings."""
    static = str(getattr(settings, "STATIC_URL", None) or "")
    own_static = (static,) if static.startswith("/") and static != "/" else ()
    return MaintenanceConf(
        installed=MIDDLEWARE in getattr(settings, "MIDDLEWARE", ()),
        refresh_seconds=take.number("MAINTENANCE_REFRESH_SECONDS", 5, least=0.1, most=300),
        api_prefixes=_paths(take, "MAINTENANCE_API_PREFIXES", ("/api/",)),
        open_paths=_paths(take, "MAINTENANCE_OPEN_PATHS", _OPEN) + own_static,
    )


def _paths(take: Reader, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        take.take(key, default, "a list of paths", _are_strings, _are_paths, f"{list(default[-2:])!r}")
    )


def _are_strings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(path, str) for path in value)


def _are_paths(values: Sequence[str]) -> str | None:
    wrong = [path for path in values if not path.startswith("/") or path == "/"]
    return f"{wrong[0]!r} is not a path below /" if wrong else None
