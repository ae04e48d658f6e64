"""Sign in and out: a username and password become a bearer token."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from .auth import Bearer, issue_token
from .errors import Problems, Rejected
from .text import ENCODABLE, STORABLE
from .throttle import count_attempt

router = Router()


class Credentials(Schema):
    """An account of Django's."""

    username: Annotated[str, Field(min_length=1, max_length=150), STORABLE]
    password: Annotated[str, Field(min_length=1, max_length=4096), ENCODABLE]


class IssuedToken(Schema):
    """The token is shown this once; only its SHA-256 is stored."""

    token: str
    token_type: str = "Bearer"  # noqa: S105 – RFC 6750's name of the scheme
    expires: datetime


@router.post(
    "",
    response={201: IssuedToken, frozenset({400, 401, 413, 415, 422, 429}): Problems},
    summary="Sign in",
    operation_id="create_token",
)
def create(request: HttpRequest, payload: Credentials) -> Any:
    """Exchange a username and password for a bearer token."""
    attempt = count_attempt(request, payload.username)
    # Django hashes a password for unknown accounts too: the time tells nothing about which accounts exist.
    user = authenticate(request, username=payload.username, password=payload.password)
    if user is None:
        raise Rejected(401, "The username or the password is wrong.")
    attempt.succeeded()
    token, row = issue_token(user)
    return Status(201, IssuedToken(token=token, expires=row.expires))


@router.delete(
    "/current",
    auth=Bearer(),
    response={204: None, 401: Problems},
    summary="Sign out",
    operation_id="revoke_token",
)
def revoke(request: HttpRequest) -> Any:
    """Revoke the token that this request carries."""
    row = request.auth  # type: ignore[attr-defined]  # set by Bearer
    row.revoked = timezone.now()
    row.save(update_fields=["revoked"])
    return Status(204, None)
