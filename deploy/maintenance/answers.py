"""What a client is told during maintenance: JSON for programs, a page for people."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from .state import Maintenance

if TYPE_CHECKING:
    from django.template import Template

LEAST_RETRY_SECONDS = 30
WITHOUT_ESTIMATE_SECONDS = 60
DEFAULT_TEXT = "We are working on the service. It will be back soon."


def retry_after_seconds(maintenance: Maintenance, now: datetime) -> int:
    """Until the estimated end, rounded up and at least 30: past it, it is over any moment."""
    if maintenance.expected_end is None:
        return WITHOUT_ESTIMATE_SECONDS
    return max(LEAST_RETRY_SECONDS, math.ceil((maintenance.expected_end - now).total_seconds()))


def answer(request: HttpRequest, maintenance: Maintenance, *, as_json: bool) -> HttpResponse:
    """503 with Retry-After (RFC 9110, 15.6.4): when to come back, and nothing for a cache."""
    now = datetime.now(UTC)
    response = _json(maintenance) if as_json else HttpResponse(_page(request, maintenance, now))
    response.status_code = 503
    response.headers["Retry-After"] = str(retry_after_seconds(maintenance, now))
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Length"] = str(len(response.content))
    # Django logs every 5xx as an error, and that alarms people: this one is meant.
    response._has_been_logged = True  # type: ignore[attr-defined]  # how django.utils.log knows
    return response


def prefers_json(request: HttpRequest) -> bool:
    """The client says so; a browser and one that takes anything get the page."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _json(maintenance: Maintenance) -> JsonResponse:
    end = maintenance.expected_end
    return JsonResponse(
        {
            "detail": [{"field": None, "message": maintenance.text or DEFAULT_TEXT}],
            "expected_end": end.astimezone(UTC).isoformat(timespec="seconds") if end else None,
        }
    )


def _page(request: HttpRequest, maintenance: Maintenance, now: datetime) -> str:
    from django.template import Context

    end = maintenance.expected_end
    values: dict[str, Any] = {"text": maintenance.text or DEFAULT_TEXT, "path": request.get_full_path()}
    if end:
        end = end.astimezone(UTC)
        same_day = end.date() == now.date()
        values["end"] = end.isoformat(timespec="seconds")
        values["end_for_people"] = f"{end:%H:%M} UTC" if same_day else f"{end:%-d %B, %H:%M} UTC"
        values["minutes"] = math.ceil((end - now).total_seconds() / 60)
    return _template().render(Context(values))


@cache
def _template() -> Template:
    """Of an engine of its own: the project's templates may need the database, or not be there."""
    from django.template import Engine

    return Engine().from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
