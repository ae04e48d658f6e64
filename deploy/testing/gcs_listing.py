"""Pages of a listing and partial answers, as the JSON API makes them."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

from .gcs_objects import ApiError, StoredObject

MAX_RESULTS = 1000


def list_page(
    objects: Iterable[StoredObject], query: Mapping[str, str], *, url: str, page_size: int = MAX_RESULTS
) -> dict[str, Any]:
    """One page in byte order of names, generations of a name from old to new.

    https://cloud.google.com/storage/docs/json_api/v1/objects/list

    Honours prefix, delimiter, startOffset, endOffset, maxResults and pageToken. With a delimiter, names are
    folded into `prefixes`, which count as results.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = min(_positive(query, "maxResults", MAX_RESULTS), page_size)
    after = _decode_token(query["pageToken"]) if query.get("pageToken") else (b"", 0)
    items: list[dict[str, Any]] = []
    prefixes: list[str] = []
    last = after
    ordered = sorted(objects, key=_place)
    for stored in ordered[bisect_right(ordered, after, key=_place) :]:
        name = key = stored.name
        if not name.startswith(prefix) or name < query.get("startOffset", ""):
            continue
        if query.get("endOffset") and name >= query["endOffset"]:
            continue
        if delimiter and delimiter in name[len(prefix) :]:
            key = prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter
        place = _place(stored) if key == name else (key.encode(), 0)
        if place <= after or key in prefixes[-1:]:
            continue
        if len(items) + len(prefixes) == limit:
            page = {"kind": "storage#objects", "items": items, "nextPageToken": _encode_token(last)}
            return page | ({"prefixes": prefixes} if prefixes else {})
        last = place
        if key == name:
            items.append(stored.resource(url))
        else:
            prefixes.append(key)
    return {"kind": "storage#objects"} | {
        key: value for key, value in (("items", items), ("prefixes", prefixes)) if value
    }


def _place(stored: StoredObject) -> tuple[bytes, int]:
    return stored.name.encode(), stored.generation


def partial(resource: Any, fields: str) -> Any:
    """Only the `fields` of a resource: `items(name,size),nextPageToken`, `items/name`, `*`.

    https://cloud.google.com/storage/docs/json_api#partial-response
    """
    wanted: dict[str, str] = {}
    for part in _split(fields):
        match = re.fullmatch(r"([^/(]+)(?:/(.+)|\((.*)\))?", part)
        if not match:
            raise ApiError(400, f"Invalid field selection {part}")
        name, below = match.group(1), match.group(2) or match.group(3) or "*"
        wanted[name] = f"{wanted[name]},{below}" if name in wanted else below
    if "*" in wanted:
        return resource
    if isinstance(resource, list):
        return [partial(item, fields) for item in resource]
    if not isinstance(resource, dict):
        return resource
    return {key: partial(value, wanted[key]) for key, value in resource.items() if key in wanted}


def _split(fields: str) -> list[str]:
    """At the commas outside parentheses."""
    parts, depth = [""], 0
    for character in fields:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part]


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit() or int(text) == 0:
        raise ApiError(400, f"Invalid value for {name}: {text!r}")
    return int(text)


def _encode_token(place: tuple[bytes, int]) -> str:
    return base64.urlsafe_b64encode(place[0] + b"\0%d" % place[1]).decode()


def _decode_token(token: str) -> tuple[bytes, int]:
    try:
        name, _, generation = base64.b64decode(token, altchars=b"-_", validate=True).rpartition(b"\0")
        return name, int(generation)
    except ValueError:
        raise ApiError(400, "Invalid value for pageToken") from None
