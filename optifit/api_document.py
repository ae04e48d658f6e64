"""docs/openapi.json: the API's description, committed, and kept equal to the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings


def document_path() -> Path:
    """Where the committed description is."""
    return Path(settings.BASE_DIR) / "docs" / "openapi.json"


def openapi_schema() -> dict[str, Any]:
    """The API as it is in the code, as OpenAPI 3.1. `preflight` compares it (`DEPLOY["OPENAPI"]`)."""
    from ninja.responses import NinjaJSONEncoder

    from .api import api

    schema: dict[str, Any] = json.loads(
        json.dumps(api.get_openapi_schema(path_prefix="/api/"), cls=NinjaJSONEncoder)
    )
    return schema


def current_document() -> str:
    """What docs/openapi.json should hold: sorted keys, so that a difference is one of meaning."""
    return json.dumps(openapi_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
