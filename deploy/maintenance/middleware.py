"""Answers 503 while maintenance is on: to everybody but staff, everywhere but on the open paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from deploy import conf as configuration
from deploy.buckets import open_bucket
from deploy.conf import DeployConf

from .answers import answer, prefers_json
from .lookout import Lookout
from .state import Maintenance, look


class MaintenanceMiddleware:
    """Stands after AuthenticationMiddleware, so that it knows staff; before it, nobody passes.

    `/livez` and the other probes are answered as ever (by HealthMiddleware before us, or as open paths): a
    container in maintenance is healthy, and must not be restarted for it.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        conf, _ = configuration.read()
        self.conf = conf.maintenance
        self.lookout = Lookout(partial(_look, conf), every_seconds=self.conf.refresh_seconds)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        maintenance = self.lookout.now()
        if maintenance is None or self._is_open(request) or is_staff(request):
            response: HttpResponseBase = self.get_response(request)
            return response
        return self._refuse(request, maintenance)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        if self.lookout.would_wait():
            maintenance = await sync_to_async(self.lookout.now, thread_sensitive=False)()
        else:
            maintenance = self.lookout.now()
        if maintenance is None or self._is_open(request) or await sync_to_async(is_staff)(request):
            response: HttpResponseBase = await self.get_response(request)
            return response
        return self._refuse(request, maintenance)

    def _is_open(self, request: HttpRequest) -> bool:
        return _is_below(request.path_info, self.conf.open_paths)

    def _refuse(self, request: HttpRequest, maintenance: Maintenance) -> HttpResponseBase:
        as_json = _is_below(request.path_info, self.conf.api_prefixes) or prefers_json(request)
        return answer(request, maintenance, as_json=as_json)


def is_staff(request: HttpRequest) -> bool:
    """Somebody who may use the admin is signed in. Asks the database only where a session came along."""
    session = getattr(request, "session", None)
    if session is None or not session.session_key:
        return False
    try:
        user = request.user
        return bool(user.is_active and getattr(user, "is_staff", False))
    except DatabaseError:
        return False  # it may be what is being worked on; then the answer is 503, which says so


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix.rstrip('/')}/") for prefix in prefixes)


def _look(conf: DeployConf) -> Maintenance | None:
    return look(conf, open_bucket(conf.bucket))
