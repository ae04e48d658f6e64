"""The first middleware: answers probes before anything else can, and names the release on every response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase

from . import LIVEZ, READYZ, RELEASE_HEADER, STARTUPZ, VERSION
from .version import Version, this_process

AT_ONCE = (LIVEZ, VERSION)

View = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class HealthMiddleware:
    """Serves `/livez`, `/readyz`, `/startupz` and `/version` to any Host over plain HTTP.

    It stands before SecurityMiddleware and CommonMiddleware because load balancers and container engines ask
    by address, without TLS: their probes must meet neither ALLOWED_HOSTS nor the redirect to HTTPS. `/livez`
    and `/version` touch nothing but this process; the other two are django-health-check views.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.version = this_process()
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        if request.path_info in AT_ONCE:
            response = answer_at_once(request, request.path_info, self.version)
        else:
            view = self._view(request.path_info)
            response = async_to_sync(view)(request) if view else self.get_response(request)
        return self._with_release(response)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in AT_ONCE:
            response = answer_at_once(request, request.path_info, self.version)
        else:
            response = await (self._view(request.path_info) or self.get_response)(request)
        return self._with_release(response)

    @staticmethod
    def _view(path: str) -> View | None:
        return views_of_checks()[path] if path in (READYZ, STARTUPZ) else None

    def _with_release(self, response: HttpResponseBase) -> HttpResponseBase:
        if self.version.release:
            response.headers[RELEASE_HEADER] = self.version.release
        return response


def answer_at_once(request: HttpRequest, path: str, version: Version) -> HttpResponseBase:
    """The response to a path of `AT_ONCE`."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    body = {"status": "ok"} if path == LIVEZ else version.as_dict()
    return JsonResponse(body, headers={"Cache-Control": "no-store"})


def views_of_checks() -> dict[str, View]:
    """The views of `/readyz` and `/startupz` by path. django-health-check is imported by the first call."""
    from . import views

    return {READYZ: views.readyz, STARTUPZ: views.startupz}
