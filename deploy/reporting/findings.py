"""Findings: what every check, rule, probe and refusal yields instead of printing.

A finding type is declared once, as a module constant, with a stable id; calling it with values makes a
`Finding`. `docs/reference/findings.md` is generated from the registry that this builds.
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .redaction import redact

Level = Literal["error", "warning", "info"]

_ID = re.compile(r"^deploy\.[A-Z]\d{3}$")
_REGISTRY: dict[str, FindingType] = {}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact that a person should know, with what to do about it.

    Attributes:
        id: stable identifier, `deploy.` + area letter + three digits.
        level: `error` makes a gate say no; `warning` and `info` do not.
        message: one sentence with the value that was found.
        hint: a command to type or code to paste.
        place: `app_label.migration_name`, `file:line`, a URL or an object name; None where there is none.
    """

    id: str
    level: Level
    message: str
    hint: str
    place: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """The JSON report's shape (see `deploy.reporting.report`)."""
        return {
            "id": self.id,
            "level": self.level,
            "message": self.message,
            "hint": self.hint,
            "place": self.place,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, str | None]) -> Finding:
        """Back from `as_dict`, for findings that were recorded in the ledger."""
        return cls(
            id=str(data["id"]),
            level=data["level"],  # type: ignore[arg-type]  # written by as_dict only
            message=str(data["message"]),
            hint=str(data["hint"]),
            place=data.get("place"),
        )


class _Templates(string.Formatter):
    """`str.format` with two conversions more."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion == "q":
            return shlex.quote(str(value))
        if conversion == "i":
            return '"{}"'.format(str(value).replace('"', '""'))
        return super().convert_field(value, conversion)


_TEMPLATES = _Templates()


@dataclass(frozen=True, slots=True)
class FindingType:
    """The declaration of a finding: id, level, templates for `str.format`, and why it matters.

    In a template `{name!q}` is the value as one word for a shell, `{name!i}` as an identifier for SQL: what a
    hint says can be pasted, whatever the name.

    Call it with the template's values (and `place=`) to make a `Finding`. Values are redacted: no secret
    of this process can enter a finding.

    The rest is for its page in the documentation, plain text without templates:

    Attributes:
        lock: the lock that the database takes, on what and for how long.
        depends: what the judgement depends on: version of the server, size of the table, …
        danger: a migration that gets this finding, as the text of its file.
        safe: the same change without it, as the text of one file or several; each begins with a line that
            names it (`# 0002_total.py`). Tests run both.
        source: the address of what the rule rests on, as a rule a section of the PostgreSQL manual.
    """

    id: str
    level: Level
    message: str
    hint: str
    why: str = field(default="")
    lock: str = field(default="")
    depends: str = field(default="")
    danger: str = field(default="")
    safe: str = field(default="")
    source: str = field(default="")

    @property
    def short_id(self) -> str:
        """`M010` of `deploy.M010`."""
        return self.id.removeprefix("deploy.")

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise ValueError(f"finding id {self.id!r} is not deploy.<letter><three digits>")
        if self.id in _REGISTRY and _REGISTRY[self.id] != self:
            raise ValueError(f"finding id {self.id!r} is declared twice")
        _REGISTRY[self.id] = self

    def __call__(self, *, place: str | None = None, level: Level | None = None, **values: object) -> Finding:
        """Fill the templates. `level` overrides the declared one where the context decides.

        The templates may use `{place}` and `{level}` too.
        """
        values = {"place": place or "", "level": level or self.level, **values}
        return Finding(
            id=self.id,
            level=level or self.level,
            message=redact(_TEMPLATES.vformat(self.message, (), values)),
            hint=redact(_TEMPLATES.vformat(self.hint, (), values)),
            place=redact(place) if place else None,
        )


def as_read(template: str) -> str:
    """A template as it reads: doubled braces single, conversions and formats (`{key!r}`) left out."""
    return re.sub(
        r"\{\{|\}\}|\{(\w+)[^{}]*\}", lambda m: m[0][0] if m[1] is None else f"{{{m[1]}}}", template
    )


def as_any(template: str) -> str:
    """A template as a text on all that is made of it: `<old>` for `{old!r}`; "" if nothing else is in it.

    A line that is only a value is left out: what it would be differs from finding to finding.
    """
    lines = [line for line in template.split("\n") if not re.fullmatch(r"\{\w+[^{}]*\}", line)]
    return re.sub(
        r"\{\{|\}\}|(?<=\w)\{\w+\}|\{(\w+)[^{}]*\}",  # on a word hangs what may be empty
        lambda m: m[0][0] if len(m[0]) == 2 else f"<{m[1].replace('_', ' ')}>" if m[1] else "",
        "\n".join(lines),
    ).strip("\n")


def registry() -> dict[str, FindingType]:
    """Every declared finding type by id, of the modules imported so far."""
    return dict(sorted(_REGISTRY.items()))


class Refusal(Exception):  # noqa: N818 – it is an answer, not a fault
    """A command stops with these findings and this exit code; nothing was changed by what raised it.

    Exit codes: 1 a gate said no · 2 usage or environment · 75 the lock is held by another deploy.
    """

    def __init__(self, *findings: Finding, exit_code: int = 2) -> None:
        super().__init__("; ".join(f"{finding.id} {finding.message}" for finding in findings))
        self.findings: tuple[Finding, ...] = findings
        self.exit_code = exit_code


def has_errors(findings: Iterable[Finding]) -> bool:
    """True when one of the findings makes a gate say no."""
    return any(finding.level == "error" for finding in findings)
