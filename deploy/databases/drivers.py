"""Engines whose driver is not installed: Django can't load one model then, and no command could say why."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from deploy.reporting.findings import Finding, FindingType

from .client_tools import UNSUPPORTED_ENGINE

NOT_LOADED = FindingType(
    "deploy.D010",
    "error",
    "The database engine {engine} cannot be loaded: {problem}",
    "Install its driver, or use django.db.backends.postgresql or django.db.backends.sqlite3.",
)
# Of Django's own: known not to be supported, whether their drivers are there or not.
_UNSUPPORTED = frozenset(
    {
        "django.db.backends.mysql",
        "django.db.backends.oracle",
        "django.contrib.gis.db.backends.mysql",
        "django.contrib.gis.db.backends.oracle",
    }
)

_missing: list[Finding] = []


def engine_refusal(engine: str, error: Exception) -> Finding:
    """The finding for an engine whose backend raised `error` when it was loaded."""
    if engine in _UNSUPPORTED:
        return UNSUPPORTED_ENGINE(engine=engine)
    return NOT_LOADED(engine=engine, problem=" ".join(str(error).split())[:200])


def stand_in_for_missing() -> None:
    """Let Django load its models without the driver of the default database, so that a command can say so.

    The engine is replaced by Django's dummy, which no query passes; `missing` has the finding.
    """
    try:
        _ = connections[DEFAULT_DB_ALIAS]
    except (ImproperlyConfigured, ImportError) as error:
        entry = connections.settings[DEFAULT_DB_ALIAS]
        _missing.append(engine_refusal(str(entry["ENGINE"]), error))
        dummy = {**entry, "ENGINE": "django.db.backends.dummy"}
        connections.settings = {**connections.settings, DEFAULT_DB_ALIAS: dummy}


def missing() -> list[Finding]:
    """What `stand_in_for_missing` found: with it, no command can do its work."""
    return list(_missing)
