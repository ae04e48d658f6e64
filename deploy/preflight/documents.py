"""Documents that must be in step with the code: the committed OpenAPI schema."""

from __future__ import annotations

import json
from typing import Any

from django.utils.module_loading import import_string

from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType
from deploy.reporting.report import Step

from .check import Check

OPENAPI_OUTDATED = FindingType(
    "deploy.P060",
    "error",
    "{path} is not what the code says: {where} differs.",
    "Write the schema again with the code as it is, and commit {path}.",
)
OPENAPI_UNREADABLE = FindingType(
    "deploy.P061",
    "error",
    "The OpenAPI document cannot be compared: {reason}.",
    "Correct DEPLOY['OPENAPI']: 'path' of the committed JSON, 'callable' that returns the schema.",
)


class DocumentsCheck(Check):
    name = "documents"
    looks_at = "the committed OpenAPI schema is the code's"

    def run(self, conf: DeployConf, step: Step) -> None:
        if not conf.openapi_path:
            step.skip("DEPLOY['OPENAPI'] is not set")
            return
        try:
            committed = json.loads((conf.base_dir / conf.openapi_path).read_bytes())
            made = import_string(conf.openapi_callable)()
            # Through JSON, so that what json.dumps would write is what is compared.
            current = json.loads(made if isinstance(made, str | bytes) else json.dumps(made, default=str))
        except (OSError, ValueError, ImportError, TypeError) as error:
            step.add(OPENAPI_UNREADABLE(reason=error, place=conf.openapi_path))
            return
        if (where := first_difference(committed, current)) is not None:
            step.add(OPENAPI_OUTDATED(path=conf.openapi_path, where=where or "/", place=conf.openapi_path))


def first_difference(one: Any, other: Any, pointer: str = "") -> str | None:
    """JSON pointer (RFC 6901) of the first place where two JSON values differ, or None."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key, _ABSENT), other.get(key, _ABSENT)) for key in sorted({*one, *other})]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [
            (str(number), left, right) for number, (left, right) in enumerate(zip(one, other, strict=True))
        ]
    else:
        return None if type(one) is type(other) and one == other else pointer
    for key, left, right in pairs:
        step = str(key).replace("~", "~0").replace("/", "~1")
        if (found := first_difference(left, right, f"{pointer}/{step}")) is not None:
            return found
    return None


_ABSENT = object()
