"""A backup's configuration: read, written out, and held against what this process runs with."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.backup import reading
from deploy.backup.archive import ArchiveDamaged
from deploy.backup.catalog import open_archive
from deploy.backup.manifest import Manifest
from deploy.buckets import Bucket
from deploy.reporting.report import Step

from .concealment import NOT_RECORDED
from .configuration import KIND, SCHEMA
from .kept import companion_of

_TOP = ("release", "image", "python", "project", "environment")
# Different in every process: who runs it.
_PASSING = frozenset({"deploy.owner"})
_ABSENT = "(absent)"


def load(bucket: Bucket, manifest: Manifest, *, step: Step) -> dict[str, Any]:
    """The document as `configuration.gather` made it.

    Raises:
        Refusal: deploy.B073 where the backup holds none, deploy.B004 (exit code 1) where it is damaged.
    """
    _, part = companion_of(manifest, KIND)
    with open_archive(bucket, manifest, part, step) as raw:
        try:
            return _read(b"".join(raw))
        except ArchiveDamaged:
            raise
        except ValueError as error:
            raise ArchiveDamaged(str(error)) from error


def _read(raw: bytes) -> dict[str, Any]:
    document = reading.json_object(raw)
    if document.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {document.get('schema')!r}, and this version reads {SCHEMA}")
    for name in ("settings", "deploy", "packages", "files"):
        reading.required(document, name, dict)
    return document


def write_out(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `configuration.json` and the kept files below the new folder `folder`; returns what was written.

    Raises:
        OSError: the folder is there, or cannot be written.
        ValueError: a path of the document leads out of the folder.
    """
    paths = {folder / "files" / _inside(path): kept["text"] for path, kept in document["files"].items()}
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    paths[folder / "configuration.json"] = text
    folder.mkdir(mode=0o700)
    for path, content in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
    return sorted(paths)


def _inside(path: str) -> PurePosixPath:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"the kept file {path!r} leads out of the folder")
    return PurePosixPath(*parts)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What is different now.

    Returns:
        `differences`: rows of `what`, `then`, `now`; `file_differences`: lines of unified diffs;
        `secrets_not_comparable`: settings whose secret has no recorded version on one of the sides.
    """
    before, after = dict(_leaves(then)), dict(_leaves(now))
    rows, unknown = [], []
    for what in sorted(before.keys() | after.keys()):
        old, new = before.get(what, _ABSENT), after.get(what, _ABSENT)
        if _is_unknown(old) and _is_unknown(new):
            unknown.append(what)
        elif old != new:
            rows.append({"what": what, "then": _shown(old), "now": _shown(new)})
    files = [line for path in _changed(then, now) for line in _file_difference(path, then, now)]
    return {"differences": rows, "file_differences": files, "secrets_not_comparable": unknown}


def secrets(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Where the settings hold secrets, and which version each was."""
    return [
        {"setting": what.removeprefix("settings."), "version": value["secret"]}
        for what, value in _leaves(document)
        if what.startswith("settings.") and isinstance(value, dict) and "secret" in value
    ]


def _leaves(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _TOP:
        yield name, document.get(name, "")
    yield "terraform state generation", (document.get("terraform_state") or {}).get("generation")
    for name in ("packages", "settings", "deploy"):
        yield from _below(name, document[name])
    for path, kept in document["files"].items():
        yield f"files.{path}", f"{kept['size_bytes']} bytes, mode {kept['mode']}"


def _below(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and set(value) != {"secret"}:
        for key, item in value.items():
            yield from _below(f"{path}.{key}", item)
    elif path not in _PASSING:
        yield path, value


def _is_unknown(value: Any) -> bool:
    return isinstance(value, dict) and value.get("secret") == NOT_RECORDED


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "secret" in value:
        return f"secret, {value['secret']}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    paths = then["files"].keys() & now["files"].keys()
    return sorted(path for path in paths if then["files"][path]["text"] != now["files"][path]["text"])


def _file_difference(path: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = (side["files"][path]["text"].splitlines() for side in (then, now))
    return difflib.unified_diff(old, new, f"{path} (then)", f"{path} (now)", lineterm="", n=1)
