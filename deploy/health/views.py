"""`/readyz` and `/startupz`: django-health-check's view, answering in one constant JSON form."""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpRequest, JsonResponse
from health_check.views import HealthCheckView

from .checks import DatabaseAnswers, SchemaIsThere
from .draining import draining

RETRY_AFTER_SECONDS = 2


class ProbeView(HealthCheckView):  # type: ignore[misc]  # the package ships no types
    """200 `{"status": "ok"}`, or 503 `{"status": "unavailable"}` with Retry-After.

    Who asks is not known, so no answer carries a reason, and there is one format only.
    """

    http_method_names = ["get", "head", "options"]

    async def get(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> JsonResponse:  # noqa: ARG002 – Django's signature
        """Ask every check at once."""
        self.results = await asyncio.gather(*(check.get_result() for check in self.get_checks()))
        if any(result.error for result in self.results):
            return self._unavailable()
        return JsonResponse({"status": "ok"})

    def _unavailable(self) -> JsonResponse:
        response = JsonResponse(
            {"status": "unavailable"}, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )
        # Django logs every 5xx as an error (django.utils.log.log_response), with mail to the admins; a probe
        # that says no is doing its job, and the check has logged why.
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django reads it (log_response)
        return response


class ReadyView(ProbeView):
    """Also 503 while the container drains: a balancer takes it out before it stops to accept."""

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        """As the base's; a container that drains asks nothing."""
        return self._unavailable() if draining() else await super().get(request, *args, **kwargs)


readyz = ReadyView.as_view(checks=[DatabaseAnswers])
startupz = ProbeView.as_view(checks=[SchemaIsThere])
