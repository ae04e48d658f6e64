"""What users say about a release."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field, StringConstraints

from optifit.models import Feedback

from .auth import user_if_signed_in
from .errors import Problems
from .text import EMAIL, STORABLE

router = Router()


class FeedbackIn(Schema):
    """`release` defaults to the one that answers."""

    message: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), STORABLE]
    release: Annotated[str, Field(max_length=100, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")] | None = None
    contact: Annotated[str, StringConstraints(strip_whitespace=True, max_length=254), EMAIL] | None = None


class FeedbackOut(Schema):
    """What was stored."""

    id: int
    release: str
    created: datetime


@router.post(
    "",
    response={201: FeedbackOut, frozenset({400, 401, 413, 415, 422}): Problems},
    summary="Send feedback",
    operation_id="create_feedback",
    openapi_extra={"security": [{}, {"Bearer": []}]},
)
def create(request: HttpRequest, payload: FeedbackIn) -> Any:
    """Tell us something, signed in or not."""
    row = Feedback.objects.create(
        message=payload.message,
        release=payload.release or settings.RELEASE,
        contact=payload.contact or "",
        user=user_if_signed_in(request),
    )
    row.refresh_from_db(fields=["created"])
    return Status(201, FeedbackOut(id=row.pk, release=row.release, created=row.created))
