"""Slows down the guessing of passwords. Counted in the database: every worker and host counts alike."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from optifit.models import SignInAttempt

from .errors import Rejected

WINDOW_SECONDS = 15 * 60
# Per account and address, so that a stranger elsewhere cannot lock a user out; per address for the sweeps
# over many accounts, with room for an office behind one address.
MOST_PER_ACCOUNT = 10
MOST_PER_ADDRESS = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt to sign in; it stays counted unless `succeeded` is called."""

    account_key: str
    rows: tuple[int, ...]

    def succeeded(self) -> None:
        """Forget this attempt and the account's failed ones from the same address, and everything old."""
        SignInAttempt.objects.filter(pk__in=self.rows).delete()
        SignInAttempt.objects.filter(key=self.account_key).delete()
        SignInAttempt.objects.filter(at__lt=timezone.now() - timedelta(seconds=WINDOW_SECONDS)).delete()


def count_attempt(request: HttpRequest, username: str) -> Attempt:
    """Count an attempt to sign in before it is made: of many at once, none slips through uncounted.

    Raises:
        Rejected: 429 with Retry-After, when there were too many in the last 15 minutes. A refused attempt
            doesn't count, so that waiting helps.
    """
    address = client_network(request)
    account = unicodedata.normalize("NFKC", username).casefold()
    keys = {_key("account", account, address): MOST_PER_ACCOUNT, _key("address", address): MOST_PER_ADDRESS}
    now = timezone.now()
    rows = SignInAttempt.objects.bulk_create([SignInAttempt(key=key, at=now) for key in keys])
    for key, most in keys.items():
        since = now - timedelta(seconds=WINDOW_SECONDS)
        if SignInAttempt.objects.filter(key=key, at__gt=since).count() > most:
            SignInAttempt.objects.filter(pk__in=[row.pk for row in rows]).delete()
            raise Rejected(
                429,
                "Too many attempts to sign in; try again in 15 minutes.",
                headers={"Retry-After": str(WINDOW_SECONDS)},
            )
    return Attempt(next(iter(keys)), tuple(row.pk for row in rows))


def client_network(request: HttpRequest) -> str:
    """The client's IPv4 address, or the /64 network of its IPv6 address (one household has all of that).

    Of X-Forwarded-For only what TRUSTED_PROXIES of our own proxies appended is believed.
    """
    claimed = str(request.META.get("REMOTE_ADDR") or "")
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        if len(hops) >= settings.TRUSTED_PROXIES and hops[-settings.TRUSTED_PROXIES]:
            claimed = hops[-settings.TRUSTED_PROXIES]
    try:
        address = ip_address(claimed)
    except ValueError:
        return "unknown"
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))


def _key(*parts: str) -> str:
    return salted_hmac("optifit.api.throttle", "\n".join(parts), algorithm="sha256").hexdigest()
