"""The discovery document of the SQL Admin API, to hold requests and answers against.

It is the one that google-api-python-client brings along: what passes here, Google's own description allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .gcs_faults import Request
from .gcs_objects import ApiError

# https://developers.google.com/discovery/v1/type-format
_FORMATS = {
    "int64": {"pattern": r"^-?\d{1,19}$"},
    "google-datetime": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$"},
    "google-duration": {"pattern": r"^-?\d+(\.\d{1,9})?s$"},
}
_BOOLEANS = ("true", "false")


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the API: `id` such as `sql.backupRuns.insert`."""

    id: str
    http_method: str
    path: re.Pattern[str]
    parameters: Mapping[str, Mapping[str, Any]]
    request: str
    response: str


class Discovery:
    """What the document says."""

    def __init__(self) -> None:
        from googleapiclient.discovery_cache import get_static_doc

        self._document: dict[str, Any] = json.loads(get_static_doc("sqladmin", "v1"))
        self._methods = list(_methods(self._document))

    def method_of(self, request: Request) -> tuple[Method, dict[str, str]]:
        """The method that this request calls, and what its path says.

        Raises:
            ApiError: 404 when there is none.
        """
        for method in self._methods:
            if method.http_method == request.method and (match := method.path.fullmatch(request.path)):
                return method, match.groupdict()
        raise ApiError(404, f"The API has no method {request.method} {request.path}.", "notFound")

    def check_request(self, method: Method, request: Request) -> dict[str, Any]:
        """The request's body. Raises ApiError (400) with what the document does not allow."""
        for name, value in request.query.items():
            if name in self._document["parameters"]:
                continue
            described = method.parameters.get(name)
            if described is None or described["location"] != "query":
                raise _invalid(f"Unknown query parameter {name!r} of {method.id}.")
            if not _fits(described, value):
                raise _invalid(f"The query parameter {name!r} is {value!r}, not {described}.")
        for name, described in method.parameters.items():
            if described.get("required") and described["location"] == "query" and name not in request.query:
                raise _invalid(f"{method.id} needs the query parameter {name!r}.")
        if not method.request:
            if request.body:
                raise _invalid(f"{method.id} takes no body.")
            return {}
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise _invalid("The body is not declared as application/json.")
        try:
            body = json.loads(request.body)
        except ValueError as error:
            raise _invalid(f"The body is not JSON: {error}.") from error
        if reason := self.reason_against(method.request, body):
            raise _invalid(reason)
        if read_only := next(self._read_only(method.request, body), None):
            raise _invalid(f"{read_only} is output only.")
        return dict(body)

    def reason_against(self, schema: str, data: Any) -> str:
        """Why `data` is not of that schema, or the empty string."""
        from jsonschema import Draft202012Validator

        validator = Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": self._schemas})
        error = next(iter(validator.iter_errors(data)), None)
        return f"{schema}: {error.json_path}: {error.message}" if error else ""

    @cached_property
    def _schemas(self) -> dict[str, Any]:
        return {name: _as_json_schema(schema) for name, schema in self._document["schemas"].items()}

    def _read_only(self, schema: str, body: Mapping[str, Any]) -> Iterator[str]:
        properties = self._document["schemas"][schema]["properties"]
        for name, value in body.items():
            described = properties.get(name, {})
            if described.get("readOnly"):
                yield f"{schema}.{name}"
            elif "$ref" in described and isinstance(value, Mapping):
                yield from self._read_only(described["$ref"], value)


def _methods(node: Mapping[str, Any]) -> Iterator[Method]:
    for resource in node.get("resources", {}).values():
        for method in resource.get("methods", {}).values():
            yield Method(
                id=method["id"],
                http_method=method["httpMethod"],
                path=_pattern(method["flatPath"]),
                parameters=method.get("parameters", {}),
                request=method.get("request", {}).get("$ref", ""),
                response=method["response"]["$ref"],
            )
        yield from _methods(resource)


def _pattern(flat_path: str) -> re.Pattern[str]:
    escaped = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(flat_path))
    return re.compile(f"/{escaped}")


def _as_json_schema(described: Mapping[str, Any]) -> dict[str, Any]:
    """A discovery schema in the words of JSON Schema; what it does not name is not allowed."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    kind = described.get("type", "any")
    if kind == "any":
        return {}
    schema: dict[str, Any] = {"type": kind, **_FORMATS.get(described.get("format", ""), {})}
    if "enum" in described:
        schema["enum"] = described["enum"]
    if "items" in described:
        schema["items"] = _as_json_schema(described["items"])
    if kind == "object":
        properties = described.get("properties", {})
        schema["properties"] = {name: _as_json_schema(value) for name, value in properties.items()}
        more = described.get("additionalProperties")
        schema["additionalProperties"] = _as_json_schema(more) if more else False
    return schema


def _fits(described: Mapping[str, Any], value: str) -> bool:
    if described["type"] == "boolean":
        return value in _BOOLEANS
    if described["type"] == "integer":
        return re.fullmatch(r"-?\d+", value) is not None
    return value in described["enum"] if "enum" in described else True


def _invalid(message: str) -> ApiError:
    return ApiError(400, message, "invalid")
