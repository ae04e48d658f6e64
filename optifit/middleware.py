"""Two middlewares: the Content-Security-Policy of every response, and JSON for whatever /api refuses."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from .api.errors import rejection

GetResponse = Callable[[HttpRequest], HttpResponseBase]

API = "/api/"
API_PAGES = ("/api/docs",)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
UPLOAD_PATH = "/api/images"
# What a multipart body has beside the file: boundaries, the part's headers, a long file name.
MULTIPART_OVERHEAD_BYTES = 16 * 1024


class ContentSecurityPolicyMiddleware:
    """Nothing at all for the API; for pages (admin, API docs) our own and the static files' origin.

    A view that sets the header itself is left alone. https://www.w3.org/TR/CSP3/
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        own = f"'self' {settings.STATIC_ORIGIN}".strip()
        self.page_policy = "; ".join(
            [
                "default-src 'none'",
                f"script-src {own}",
                f"style-src {own}",
                f"img-src {own} data:",
                f"font-src {own}",
                "connect-src 'self'",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ]
        )

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        is_data = request.path.startswith(API) and not request.path.startswith(API_PAGES)
        response.headers.setdefault("Content-Security-Policy", API_POLICY if is_data else self.page_policy)
        return response


class ApiRefusalMiddleware:
    """Refuses bodies under /api that are too large or of the wrong type before a byte of them is read, and
    turns refusals that Django makes (no such path, wrong method, wrong host, …) into the API's shape.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(API):
            return self.get_response(request)
        response = refuse_body(request) or self.get_response(request)
        status = response.status_code
        if status < HTTPStatus.BAD_REQUEST or _is_json(response):
            return response
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and settings.DEBUG:
            return response  # the traceback page is what a developer needs
        answer = rejection(status, f"{HTTPStatus(status).phrase}.")
        if "Allow" in response.headers:
            answer.headers["Allow"] = response.headers["Allow"]
        return answer


def _is_json(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")


def refuse_body(request: HttpRequest) -> HttpResponse | None:
    """The refusal of a body by its declared length and type, or None."""
    if request.method != "POST":
        return None
    is_upload = request.path == UPLOAD_PATH
    wanted = "multipart/form-data" if is_upload else "application/json"
    if request.content_type != wanted:
        return rejection(415, f"Send the body as {wanted}.", headers={"Accept-Post": wanted})
    most = (
        settings.IMAGE_MAX_BYTES + MULTIPART_OVERHEAD_BYTES
        if is_upload
        else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    )
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return rejection(400, "The Content-Length is not a number.")
    if length > most:
        return rejection(
            413, f"The request is larger than {most} bytes.", field="file" if is_upload else None
        )
    return None
