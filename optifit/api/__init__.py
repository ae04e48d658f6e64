"""The JSON API under /api: accounts' tokens, images, feedback. Documented at /api/docs."""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from . import feedback, images, tokens
from .errors import answer_errors_in_one_shape

# Python 3.13 took the newer phrases of RFC 9110, section 15.5; the document must not depend on who serves it.
_PHRASES = {"413": "Content Too Large", "422": "Unprocessable Content"}


class DocumentedAPI(NinjaAPI):
    """NinjaAPI with a description that is the same on every Python."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        for path in schema["paths"].values():
            for operation in path.values():
                for status, answer in operation["responses"].items():
                    answer["description"] = _PHRASES.get(str(status), answer["description"])
        return schema


api = DocumentedAPI(
    title="OptiFit",
    version="1",
    description=(
        "Sign in with `POST /api/tokens` and send the token as `Authorization: Bearer …`. "
        'Every 4xx has the body `{"detail": [{"field": …, "message": …}]}`; `field` is null where it is '
        "about the request as a whole."
    ),
    urls_namespace="api",
)
answer_errors_in_one_shape(api)
api.add_router("/tokens", tokens.router, tags=["tokens"])
api.add_router("/images", images.router, tags=["images"])
api.add_router("/feedback", feedback.router, tags=["feedback"])
