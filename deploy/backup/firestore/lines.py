"""The portable export read back: lines to documents, and these to where they are restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from deploy.backup import reading

from .connection import Database
from .export import FORMAT, VERSION
from .values import Digest, canonical

# A document has at most 1 MiB; written as JSON with escapes it is never near this.
_LONGEST_LINE_BYTES = 64 * 1024 * 1024


class NotAnExport(ValueError):  # noqa: N818 – reads as the fact it is
    """The bytes are those that were stored, but not an export that this version reads."""


def exported_documents(
    raw: Iterator[bytes],
    source: Database,
    digest: Digest,
    *,
    rename: Callable[[str], str],
    refer: Callable[[str], str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and fields (typed JSON) of each document. `digest` counts them as they were exported.

    Args:
        rename, refer: what becomes of a document's name, and of the name in a reference.

    Raises:
        NotAnExport: wrong format or version, another database, or a line that is no document.
    """
    lines = _lines(raw)
    first = next(lines, b"")  # not in the block: the archive's own errors are ValueErrors too
    try:
        head = reading.json_object(first)
    except ValueError as error:
        raise NotAnExport(f"its first line does not say what it is: {error}") from error
    if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        raise NotAnExport(f"it is {head.get('format')!r} {head.get('version')!r}, not {FORMAT!r} {VERSION}")
    if head.get("database") != source.path:
        raise NotAnExport(f"it is of {head.get('database')!r}, not of {source.path!r}")
    for number, line in enumerate(lines, 2):
        try:
            data = reading.json_object(line)
            name, fields = reading.required(data, "name", str), reading.required(data, "fields", dict)
        except ValueError as error:
            raise NotAnExport(f"line {number}: {error}") from error
        digest.add(canonical(name, fields))
        yield rename(name), {field: referring(value, refer) for field, value in fields.items()}


def _lines(raw: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in raw:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        if len(rest) > _LONGEST_LINE_BYTES:
            raise NotAnExport(f"it has a line of more than {_LONGEST_LINE_BYTES} bytes")
    if rest:
        yield rest


def mover(source: Database, target: Database) -> Callable[[str], str]:
    """Names of documents in `source` become those in `target`; any other name stays."""
    old, new = f"{source.documents}/", f"{target.documents}/"
    return lambda name: new + name.removeprefix(old) if name.startswith(old) else name


def referring(value: dict[str, Any], refer: Callable[[str], str]) -> dict[str, Any]:
    """A typed value whose references, at any depth, are as `refer` makes them."""
    if "referenceValue" in value:
        return {"referenceValue": refer(value["referenceValue"])}
    if "arrayValue" in value:
        return {"arrayValue": {"values": [referring(item, refer) for item in value["arrayValue"]["values"]]}}
    if "mapValue" in value:
        fields = value["mapValue"]["fields"]
        return {"mapValue": {"fields": {name: referring(item, refer) for name, item in fields.items()}}}
    return value


def message_of(name: str, fields: dict[str, Any]) -> Any:
    """The `Document` message. Raises NotAnExport where a value is not one."""
    from google.cloud.firestore_v1.types import Document
    from google.protobuf import json_format

    message = Document.pb(Document())
    try:
        return json_format.ParseDict({"name": name, "fields": fields}, message)
    except json_format.ParseError as error:
        raise NotAnExport(f"{name}: {error}") from error
