"""One shape for every refused request: `{"detail": [{"field": "message", "message": "…"}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError


class Problem(Schema):
    """What is wrong with one field, or (`field` null) with the request as a whole."""

    field: str | None
    message: str


class Problems(Schema):
    """The body of every 4xx."""

    detail: list[Problem]


class Rejected(Exception):  # noqa: N818 – reads as the answer it is
    """Stop here and answer with `status` and one problem."""

    def __init__(
        self, status: int, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.headers = dict(headers or {})


def rejection(
    status: int, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JsonResponse:
    """The response with one problem; a 401 names the way to sign in (RFC 9110, 11.6.1)."""
    return _answer(status, [{"field": field, "message": message}], headers)


def _answer(
    status: int, problems: list[dict[str, str | None]], headers: Mapping[str, str] | None = None
) -> JsonResponse:
    response = JsonResponse({"detail": problems}, status=status, headers=dict(headers or {}))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", 'Bearer realm="optifit"')
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Length"] = str(len(response.content))
    return response


def _problem(error: Mapping[str, Any]) -> dict[str, str | None]:
    # loc is ("body", "payload", "message"), ("query", "limit"), ("file", "file"): where, the view's name for
    # the whole body, then the client's own names.
    path = [str(part) for part in error["loc"][1:] if part != "payload"]
    message = str(error["msg"]).removeprefix("Value error, ")
    return {"field": ".".join(path) or None, "message": message}


def answer_errors_in_one_shape(api: NinjaAPI) -> None:
    """Register the handlers on `api`. What the API never sees, `optifit.middleware` answers."""

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        return _answer(422, [_problem(each) for each in error.errors])

    @api.exception_handler(Rejected)
    def rejected(request: HttpRequest, error: Rejected) -> HttpResponse:
        return rejection(error.status, str(error), field=error.field, headers=error.headers)

    @api.exception_handler(AuthenticationError)
    def not_signed_in(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return rejection(401, "A valid bearer token is required: POST /api/tokens.")

    @api.exception_handler(HttpError)
    def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
        return rejection(error.status_code, str(error))

    @api.exception_handler(Http404)
    def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
        return rejection(404, "Not found.")

    @api.exception_handler(RequestDataTooBig)
    def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return rejection(413, "The request is too large.")

    @api.exception_handler(SuspiciousOperation)
    @api.exception_handler(BadRequest)
    @api.exception_handler(MultiPartParserError)
    @api.exception_handler(UnreadablePostError)
    def unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
        return rejection(400, "The request cannot be read.")
