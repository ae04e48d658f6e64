"""Who is asking: bearer tokens."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from optifit.models import ApiToken

from .errors import Rejected

# Lets a secret scanner find a token that was committed or pasted somewhere.
TOKEN_PREFIX = "optifit_"  # noqa: S105 – not a secret, but what one starts with
LONGEST_TOKEN = 200


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`; `request.auth` becomes the ApiToken, with its user loaded."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        return live_token(token)


def live_token(token: str) -> ApiToken | None:
    """The token's row, unless it is unknown, expired, revoked, or its user was deactivated.

    It is found by its digest through an index: how long that takes says nothing about the token itself.
    """
    if len(token) > LONGEST_TOKEN:
        return None
    return (
        ApiToken.objects.select_related("user")
        .filter(
            digest=ApiToken.digest_of(token),
            expires__gt=timezone.now(),
            revoked__isnull=True,
            user__is_active=True,
        )
        .first()
    )


def issue_token(user: User) -> tuple[str, ApiToken]:
    """A new token, which exists in clear only here, and its row. The user's ended tokens are removed."""
    now = timezone.now()
    ApiToken.objects.filter(user=user, expires__lte=now).delete()
    ApiToken.objects.filter(user=user, revoked__isnull=False).delete()
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user,
        digest=ApiToken.digest_of(token),
        expires=now + timedelta(seconds=settings.API_TOKEN_LIFETIME_SECONDS),
    )
    return token, row


def user_if_signed_in(request: HttpRequest) -> User | None:
    """The user of the token that came with the request, or None when none came.

    Raises:
        Rejected: 401, when one came that is not valid: the sender believes to be signed in.
    """
    if "Authorization" not in request.headers:
        return None
    row = Bearer()(request)
    if row is None:
        raise Rejected(401, "The token is not valid any more, or is no bearer token.")
    user: User = row.user
    return user
