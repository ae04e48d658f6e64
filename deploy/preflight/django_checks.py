"""Django's own `check --deploy`, with the database's checks, as findings."""

from __future__ import annotations

from django.core import checks
from django.core.checks.messages import CheckMessage
from django.db import Error as DatabaseError

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType
from deploy.reporting.report import Step

from .check import Check
from .configuration import is_local

DJANGO_ERROR = FindingType("deploy.P030", "error", "Django {id}: {text}", "{hint}")
DJANGO_WARNING = FindingType("deploy.P031", "warning", "Django {id}: {text}", "{hint}")
DJANGO_INFO = FindingType("deploy.P032", "info", "Django {id}: {text}", "{hint}")
DATABASE_CHECKS_FAILED = FindingType(
    "deploy.P033",
    "warning",
    "Django's checks of the database {alias} could not run: {reason}",
    "python manage.py preflight --only database",
)
FOR_PRODUCTION = FindingType(
    "deploy.P034",
    "info",
    "In {environment} Django's deployment advice is left aside: {ids}.",
    "python manage.py check --deploy",
)

_REFERENCE = "https://docs.djangoproject.com/en/stable/ref/checks/"
# settings_leaks finds these, with the environment's level: SECRET_KEY (and fallbacks), DEBUG, ALLOWED_HOSTS.
_FOUND_ELSEWHERE = frozenset({"security.W009", "security.W018", "security.W020", "security.W025"})


class DjangoCheck(Check):
    name = "django"
    looks_at = "manage.py check --deploy, with the checks of the database"

    def run(self, conf: DeployConf, step: Step) -> None:
        messages = list(checks.run_checks(include_deployment_checks=True))
        try:
            messages += checks.run_checks(tags=[checks.Tags.database], databases=[conf.database])
        except DatabaseError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            step.add(DATABASE_CHECKS_FAILED(alias=conf.database, reason=reason))
        shown = [m for m in messages if not m.is_silenced() and m.id not in _FOUND_ELSEWHERE]
        step.facts["messages"] = len(shown)
        if is_local(conf):
            # On a laptop what `--deploy` adds (HSTS, secure cookies) is advice for later: one line is enough.
            later = [str(m.id) for m in shown if str(m.id or "").startswith("security.")]
            shown = [m for m in shown if str(m.id) not in later]
            if later:
                step.add(FOR_PRODUCTION(environment=conf.environment, ids=", ".join(sorted(set(later)))))
        step.extend(dict.fromkeys(_finding(message) for message in shown))


def _finding(message: CheckMessage) -> Finding:
    if message.level >= checks.ERROR:
        kind = DJANGO_ERROR
    elif message.level >= checks.WARNING:
        kind = DJANGO_WARNING
    else:
        kind = DJANGO_INFO
    # Django's security messages are a fact and then a paragraph of advice: the one is the finding's message,
    # the other its hint.
    fact, _, rest = " ".join(str(message.msg).split()).partition(". ")
    return kind(
        id=message.id or "(no id)",
        text=fact if not rest else f"{fact}.",
        hint=" ".join(str(message.hint or rest or _REFERENCE).split()),
        place=str(message.obj) if message.obj is not None else None,
    )
