"""Settings that give the site away: DEBUG, a key that everybody knows, hosts that are not checked."""

from __future__ import annotations

from django.conf import settings

from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Level
from deploy.reporting.report import Step

from .check import Check
from .configuration import is_local

DEBUG_ON = FindingType(
    "deploy.P020",
    "error",
    "DEBUG is on in {environment}.",
    "Set DEBUG = False.",
    why="The debug page shows settings and source to anybody who causes an error.",
)
WEAK_KEY = FindingType(
    "deploy.P021",
    "error",
    "{setting} is {weakness} in {environment}.",
    "python -c 'from django.core.management.utils import get_random_secret_key as k; print(k())'",
    why="Who knows the key can forge sessions and password resets.",
)
WILDCARD_HOST = FindingType(
    "deploy.P022",
    "error",
    "ALLOWED_HOSTS accepts every host in {environment}.",
    "ALLOWED_HOSTS = ['www.example.com']",
    why="Links in e-mails are built from the Host header.",
)
NO_HOST = FindingType(
    "deploy.P023",
    "error",
    "ALLOWED_HOSTS is empty and DEBUG is off: every request gets 400.",
    "ALLOWED_HOSTS = ['www.example.com']",
)

# The same bounds as Django's security.W009.
_LEAST_LENGTH = 50
_LEAST_DIFFERENT = 5
_DEFAULT_MARKS = ("django-insecure-", "insecure", "changeme", "change-me", "secret-key")


class SettingsCheck(Check):
    name = "settings"
    looks_at = "DEBUG, SECRET_KEY, ALLOWED_HOSTS"
    fast = True

    def run(self, conf: DeployConf, step: Step) -> None:
        level: Level = "warning" if is_local(conf) else "error"
        where = conf.environment
        if settings.DEBUG:
            step.add(DEBUG_ON(environment=where, level=level))
        keys = {"SECRET_KEY": settings.SECRET_KEY}
        for number, key in enumerate(settings.SECRET_KEY_FALLBACKS):
            keys[f"SECRET_KEY_FALLBACKS[{number}]"] = key
        for setting, key in keys.items():
            if weakness := _weakness(str(key)):
                step.add(WEAK_KEY(setting=setting, weakness=weakness, environment=where, level=level))
        if "*" in settings.ALLOWED_HOSTS:
            step.add(WILDCARD_HOST(environment=where, level=level))
        if not settings.ALLOWED_HOSTS and not settings.DEBUG:
            step.add(NO_HOST(level=level))


def _weakness(key: str) -> str | None:
    lowered = key.lower()
    if any(lowered.startswith(mark) for mark in _DEFAULT_MARKS):
        return "a default that is known"
    if len(key) < _LEAST_LENGTH:
        return f"shorter than {_LEAST_LENGTH} characters"
    if len(set(key)) < _LEAST_DIFFERENT:
        return f"made of fewer than {_LEAST_DIFFERENT} different characters"
    return None
