"""Facts of a step as a person reads them: one line of figures, and tables for lists. JSON has everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .output import printable

_DIGEST = re.compile(r"^(sha256:)?[0-9a-f]{40,}$")
# A moment in UTC as isoformat has it; people need neither the microseconds nor the offset.
_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)$")
# Keys that a program knows and a person may not.
_WORDS = {
    "rto_seconds": "time to recover",
    "max_age_seconds": "at most",
    "old": "kept as",
    "new": "restored as",
}
_UNITS = ("_bytes", "_seconds")
_LONGEST_INLINE = 80
_MOST_INLINE = 4
_MOST_ROWS = 40
_MOST_LINES = 12
_MOST_NAMES = 4


def human_bytes(count: float) -> str:
    """`1536` as `1.5 kB`; decimal units, as disks and cloud bills count."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """`0.0042` as `4 ms`, `75` as `1 min 15 s`, `7325` as `2 h 02 min`, `180000` as `2 d 02 h`."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


class Rows(list[Any]):
    """Rows of a fact for programs, and `shown`: the same for people, fewer columns, or in another order."""

    def __init__(self, rows: Iterable[Any], *, shown: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(rows)
        self.shown = shown


@dataclass(frozen=True, slots=True)
class Table:
    """A fact with several rows. `more` rows were left out; a list of plain values has one column, unnamed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


def figures(facts: Mapping[str, Any]) -> str:
    """The single values among the facts, on one line: `database optifit, size 1.2 MB, rows 51,000`."""
    return ", ".join(" ".join(pair).strip() for pair in pairs(facts))


def pairs(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The single values among the facts, each with what it is called; what is empty is left out."""
    found = [(_label(key), _value(key, value)) for key, value in facts.items() if _is_inline(value)]
    return [(label, text) for label, text in found if text]


def in_order(facts: dict[str, Any], first: Sequence[str], last: Sequence[str] = ("backup",)) -> None:
    """Put the answer first and what it is about (an id) last; what is named in neither stays between them."""
    rest = [key for key in facts if key not in first and key not in last]
    wanted = {key: facts[key] for key in (*first, *rest, *last) if key in facts}
    facts.clear()
    facts.update(wanted)


def tables(facts: Mapping[str, Any]) -> list[Table]:
    """The lists among the facts that don't fit into the line of figures."""
    found = []
    for key, value in facts.items():
        if _is_inline(value) or not isinstance(value, Sequence) or isinstance(value, str | bytes):
            continue
        rows = value.shown if isinstance(value, Rows) else value
        if not rows:
            continue  # only for programs
        if all(isinstance(row, Mapping) for row in rows):
            found.append(_table_of_rows(key, rows))
        else:
            found.append(_table_of_values(key, [_cell(key, item) for item in value]))
    return found


def _table_of_rows(key: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = rows[:_MOST_ROWS]
    columns = tuple(dict.fromkeys(str(column) for row in shown for column in row))
    cells = tuple(tuple(_cell(column, row.get(column)) for column in columns) for row in shown)
    return Table(_label(key), tuple(_label(column) for column in columns), cells, len(rows) - len(shown))


def _table_of_values(key: str, texts: Sequence[str]) -> Table:
    """Names follow one another on a line; sentences (a plan's) have a line each."""
    if any(" " in text for text in texts):
        shown = texts[:_MOST_LINES]
        return Table(_label(key), (), tuple((text,) for text in shown), len(texts) - len(shown))
    shown = texts[:_MOST_NAMES]
    return Table(_label(key), (), ((", ".join(shown),),), len(texts) - len(shown))


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_inline(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, Mapping) or _is_scalar(value):
        return True
    return (
        isinstance(value, list | tuple)
        and len(value) <= _MOST_INLINE
        and all(_is_scalar(item) for item in value)
        and sum(len(str(item)) for item in value) <= _LONGEST_INLINE
    )


def _label(key: object) -> str:
    if word := _WORDS.get(str(key)):
        return word
    return printable(re.sub(r"_(bytes|seconds)$", "", str(key))).replace("_", " ")


def _value(key: object, value: Any) -> str:
    if isinstance(value, Mapping):
        if not value:
            return ""
        if len(value) <= _MOST_INLINE and all(_is_scalar(item) for item in value.values()):
            unit = str(key) if str(key).endswith(_UNITS) else ""
            return "(" + ", ".join(f"{_label(k)} {_value(unit or k, v)}" for k, v in value.items()) + ")"
        return f"({len(value)} entries)"
    if isinstance(value, list | tuple):
        return " ".join(_value(key, item) for item in value) or "none"
    text = _cell(key, value)
    if _DIGEST.match(text):
        return text.removeprefix("sha256:")[:12]
    return text if len(text) <= _LONGEST_INLINE else f"{text[: _LONGEST_INLINE - 1]}…"


def _cell(key: object, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        name = str(key)
        if name.endswith("_bytes"):
            return human_bytes(value)
        if name.endswith("_seconds"):
            return human_seconds(value)
        return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(k)} {_cell(k, v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(key, item) for item in value)
    text = printable(str(value)).replace("\n", " ")
    return _MOMENT.sub(r"\1 \2Z", text)
