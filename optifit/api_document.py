"""docs/openapi.json: the API's description, committed, and kept equal to the code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

WRITE_COMMAND = "python manage.py openapi"


def document_path() -> Path:
    """Where the committed description is. It isn't part of a container image."""
    return Path(settings.BASE_DIR) / "docs" / "openapi.json"


def current_document() -> str:
    """The description of the API as it is in the code: JSON with sorted keys, ending in a newline."""
    from ninja.responses import NinjaJSONEncoder

    from .api import api

    schema = api.get_openapi_schema(path_prefix="/api/")
    return json.dumps(schema, cls=NinjaJSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def check_committed_document(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A system check of `check --deploy`, and through it of `preflight`: optifit.E101 when they differ."""
    path = document_path()
    if not path.exists() or path.read_text(encoding="utf-8") == current_document():
        return []
    return [
        Error(
            "docs/openapi.json is not what the code's API is: clients would be built on a wrong description.",
            hint=f"{WRITE_COMMAND} && git add docs/openapi.json",
            id="optifit.E101",
        )
    ]
