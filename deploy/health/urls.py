"""Names for the probes: `path("", include("deploy.health.urls"))`, then `reverse("health:readyz")`.

With HealthMiddleware installed these views are never reached; without it they answer as any other view does,
behind ALLOWED_HOSTS and the redirect to HTTPS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from . import LIVEZ, READYZ, STARTUPZ, VERSION
from .middleware import answer_at_once, views_of_checks
from .version import this_process

app_name = "health"

View = TypeVar("View", bound=Callable[..., object])


def _outside_transactions(view: View) -> View:
    """Opt out of ATOMIC_REQUESTS on every database: Django refuses async views in a transaction, and a probe
    must not open one on a database that hangs."""
    for alias in settings.DATABASES:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def _at_once(probe: str) -> Callable[[HttpRequest], HttpResponseBase]:
    @_outside_transactions
    def view(request: HttpRequest) -> HttpResponseBase:
        return answer_at_once(request, probe, this_process())

    return view


def _by_check(probe: str) -> Callable[[HttpRequest], HttpResponseBase]:
    @_outside_transactions
    async def view(request: HttpRequest) -> HttpResponseBase:
        return await views_of_checks()[probe](request)

    # Django takes async views; its stubs' `path` knows of those that are declared so, not of this type.
    return cast("Callable[[HttpRequest], HttpResponseBase]", view)


urlpatterns = [
    path(LIVEZ.lstrip("/"), _at_once(LIVEZ), name="livez"),
    path(READYZ.lstrip("/"), _by_check(READYZ), name="readyz"),
    path(STARTUPZ.lstrip("/"), _by_check(STARTUPZ), name="startupz"),
    path(VERSION.lstrip("/"), _at_once(VERSION), name="version"),
]
