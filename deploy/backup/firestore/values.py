"""A document as a line of typed JSON: the protobuf JSON form of `google.firestore.v1.Document`.

It is what Firestore's REST API gives and takes, so other tools read it too. Written here and not by the
protobuf library for two reasons: a type that this version does not know must stop the export instead of
leaving a hole in it, and keys stand in one order, so that equal documents are equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from typing import Any


class UnknownValue(ValueError):  # noqa: N818 – reads as the fact it is
    """A value of a type that the installed google-cloud-firestore does not know."""


def value_to_json(value: Any) -> dict[str, Any]:
    """One `Value` message. Whole numbers and bytes are text, NaN and the infinities too.

    Raises:
        UnknownValue: its type is newer than the library.
    """
    kind = value.WhichOneof("value_type")
    match kind:
        case "null_value":
            return {"nullValue": None}
        case "boolean_value":
            return {"booleanValue": value.boolean_value}
        case "integer_value":
            return {"integerValue": str(value.integer_value)}
        case "double_value":
            return {"doubleValue": _double(value.double_value)}
        case "timestamp_value":
            return {"timestampValue": value.timestamp_value.ToJsonString()}
        case "string_value":
            return {"stringValue": value.string_value}
        case "bytes_value":
            return {"bytesValue": b64encode(value.bytes_value).decode()}
        case "reference_value":
            return {"referenceValue": value.reference_value}
        case "geo_point_value":
            point = value.geo_point_value
            return {"geoPointValue": {"latitude": point.latitude, "longitude": point.longitude}}
        case "array_value":
            return {"arrayValue": {"values": [value_to_json(item) for item in value.array_value.values]}}
        case "map_value":  # vectors too: a map whose `__type__` is `__vector__`
            return {"mapValue": {"fields": fields_to_json(value.map_value.fields)}}
    raise UnknownValue(f"a value is of the unknown type {kind!r}")


def fields_to_json(fields: Any) -> dict[str, Any]:
    """A document's or a map's fields. Raises UnknownValue, naming the field."""
    try:
        return {name: value_to_json(value) for name, value in fields.items()}
    except UnknownValue as error:
        raise UnknownValue(f"{error} (in one of the fields {', '.join(sorted(fields))})") from error


def _double(number: float) -> float | str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def canonical(name: str, fields: dict[str, Any]) -> bytes:
    """Name and content of a document as bytes that are equal exactly when the two are."""
    return _dumps({"fields": fields, "name": name})


def document_line(document: Any) -> tuple[bytes, bytes]:
    """A `Document` message as its line, and as its canonical bytes.

    Raises:
        UnknownValue: see `value_to_json`.
    """
    content = canonical(document.name, fields_to_json(document.fields))
    times = {
        "createTime": document.create_time.ToJsonString(),
        "updateTime": document.update_time.ToJsonString(),
    }
    return content[:-1] + b"," + _dumps(times)[1:] + b"\n", content


def _dumps(data: dict[str, Any]) -> bytes:
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


class Digest:
    """Of a set of documents, whatever their order: the sum of their SHA-256, modulo 2²⁵⁶."""

    method = "sum of SHA-256 over canonical JSON of name and fields, modulo 2^256"

    def __init__(self) -> None:
        self._sum = 0
        self.documents = 0

    def add(self, content: bytes) -> None:
        """Count one document in, by its canonical bytes."""
        self._sum += int.from_bytes(hashlib.sha256(content).digest(), "big")
        self.documents += 1

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum % 2**256:064x}"
