"""Takes typed values out of a raw settings dict: a mistake becomes a finding, and the default stands in."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from deploy.reporting.findings import Finding, FindingType

UNKNOWN_KEY = FindingType(
    "deploy.C001",
    "error",
    "DEPLOY has no key {key!r}.{nearest}",
    "Remove it or correct it; the keys are: {known}.",
)
WRONG_TYPE = FindingType(
    "deploy.C002",
    "error",
    "DEPLOY[{key!r}] is a {actual}, not {expected}.",
    "Set DEPLOY[{key!r}] to {expected}.",
)
WRONG_VALUE = FindingType(
    "deploy.C003", "error", "DEPLOY[{key!r}] is {value!r}: {reason}.", "Set DEPLOY[{key!r}] to {example}."
)
# Release, project and environment become parts of object names, so they are held to what every bucket,
# label, header and shell takes unquoted.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")

T = TypeVar("T")


class Reader:
    """Takes values out of the raw dict, collecting a finding for each mistake."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.known: list[str] = []
        self.findings: list[Finding] = []

    def take(
        self,
        key: str,
        default: T,
        expected: str,
        accepts: Callable[[Any], bool],
        check: Callable[[Any], str | None] = lambda _: None,
        example: str = "",
    ) -> T:
        self.known.append(key)
        if key not in self.raw or self.raw[key] is None:
            return default
        value = self.raw[key]
        if not accepts(value):
            self.findings.append(WRONG_TYPE(key=key, actual=type(value).__name__, expected=expected))
            return default
        if reason := check(value):
            self.findings.append(
                WRONG_VALUE(key=key, value=value, reason=reason, example=example or expected)
            )
            return default
        return value  # type: ignore[no-any-return]  # `accepts` has checked it

    def text(
        self, key: str, default: str, check: Callable[[str], str | None] = lambda _: None, example: str = ""
    ) -> str:
        return self.take(key, default, "a string", lambda v: isinstance(v, str), check, example)

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        return float(
            self.take(
                key,
                default,
                "a number",
                lambda v: isinstance(v, int | float) and not isinstance(v, bool),
                lambda v: None if least <= v <= most else f"it must be from {least:g} to {most:g}",
                f"{default:g}",
            )
        )

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        return self.take(
            key,
            default,
            "a whole number",
            lambda v: isinstance(v, int) and not isinstance(v, bool),
            lambda v: None if least <= v <= most else f"it must be from {least} to {most}",
            str(default),
        )

    def unknown(self) -> None:
        for key in self.raw:
            if key not in self.known:
                near = difflib.get_close_matches(str(key).upper(), self.known, n=1, cutoff=0.6)
                self.findings.append(
                    UNKNOWN_KEY(
                        key=key,
                        nearest=f" Did you mean {near[0]!r}?" if near else "",
                        known=", ".join(sorted(self.known)),
                    )
                )


def is_name(value: str) -> str | None:
    return None if NAME.match(value) else "only letters, digits, '.', '_' and '-' are allowed, 100 at most"


def is_bucket(value: str) -> str | None:
    if re.match(r"^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?\Z", value):
        return None if ".." not in value else "'..' is not allowed"
    if value.startswith("file:///") and ".." not in Path(value.removeprefix("file://")).parts:
        return None
    return "it is neither gs://BUCKET[/PREFIX] nor file:///ABSOLUTE/PATH"


def is_path(value: str) -> str | None:
    return None if value.startswith("/") and not value.startswith("//") else "it must start with one '/'"


def are_relative(values: Sequence[str]) -> str | None:
    wrong = [value for value in values if not value or value.startswith("/") or ".." in value.split("/")]
    return f"{wrong[0]!r} is not a path below STATIC_URL" if wrong else None


def is_openapi(value: Mapping[str, Any]) -> str | None:
    strings = all(isinstance(part, str) and part for part in value.values())
    if set(value) != {"path", "callable"} or not strings:
        return "it needs exactly the keys 'path' and 'callable', both strings"
    return None if "." in value["callable"] else "'callable' is not a dotted path"
