"""The errors of google-cloud-storage as those of `Bucket`, without anything that grants access."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core import exceptions as api
from google.api_core.retry import if_transient_error
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import InvalidResponse

from .base import BucketError, ObjectMissing, PreconditionFailed


@contextmanager
def translated(action: str, place: str) -> Iterator[None]:
    """Raise BucketError, ObjectMissing and PreconditionFailed for what Google's libraries raise.

    Their texts contain the request's address, and that of an upload session is a credential; so only the
    status, the service's own words and the kind of error are passed on, and the original is not chained.
    """
    try:
        yield
    except api.PreconditionFailed:
        raise PreconditionFailed(f"{place} is not at the generation that was required") from None
    except api.NotFound as error:
        reason = _service_message(error)
        if "bucket does not exist" in reason:
            raise BucketError(f"could not {action} {place}: {reason}") from None
        raise ObjectMissing(f"{place} does not exist") from None
    except api.RetryError as error:
        raise BucketError(f"could not {action} {place}: {_reason(error.cause)}, to the last try") from None
    except (
        api.GoogleAPICallError,
        InvalidResponse,
        GoogleAuthError,
        requests.RequestException,
        OSError,
    ) as error:
        raise BucketError(f"could not {action} {place}: {_reason(error)}") from None


def may_pass(error: Exception) -> bool:
    """Trying again can help: what the library itself retries (`google.cloud.storage.retry`)."""
    return bool(if_transient_error(error)) or isinstance(
        error, api.BadGateway | api.GatewayTimeout | requests.Timeout
    )


def _reason(error: Any) -> str:
    if isinstance(error, api.GoogleAPICallError):
        return f"HTTP {error.code} {_service_message(error)}".strip().rstrip(".")
    if isinstance(error, InvalidResponse):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, GoogleAuthError):
        return f"no usable Google credentials ({type(error).__name__})"
    return type(error).__name__


def _service_message(error: Any) -> str:
    """`error.message` of the JSON answer, else the status line's words."""
    try:
        return str(error.response.json()["error"]["message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        response = getattr(error, "response", None)
        return str(getattr(response, "reason", "") or "")
