"""Take values of a known kind out of JSON that may be damaged or not ours; what is wrong is said in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def json_object(raw: bytes) -> dict[str, Any]:
    """The object that `raw` is. Raises ValueError."""
    try:
        data = json.loads(raw)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 – one kind of error for its readers
    return data


def required(data: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """`data[name]`, of this kind. Raises ValueError."""
    if name not in data:
        raise ValueError(f"it has no {name!r}")
    value = data[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ValueError(f"its {name!r} is a {type(value).__name__}")
    return value


def objects(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """`data[name]`, a list of JSON objects. Raises ValueError."""
    found: list[dict[str, Any]] = required(data, name, list)
    if not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"its {name!r} are not JSON objects")
    return found


def moment(data: Mapping[str, Any], name: str) -> datetime:
    """`data[name]`, a time with a zone in ISO 8601. Raises ValueError."""
    found = datetime.fromisoformat(required(data, name, str))
    if found.tzinfo is None:
        raise ValueError(f"its {name!r} has no zone")
    return found


def file_name(data: Mapping[str, Any], name: str) -> str:
    """`data[name]`, a name without a folder. Raises ValueError."""
    found: str = required(data, name, str)
    if not found or "/" in found or found.startswith("."):
        raise ValueError(f"its {name} {found!r} is not a file name")
    return found
