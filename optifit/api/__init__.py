"""The JSON API under /api: accounts' tokens, images, feedback. Documented at /api/docs."""

from __future__ import annotations

from ninja import NinjaAPI

from . import feedback, images, tokens
from .errors import answer_errors_in_one_shape

api = NinjaAPI(
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
