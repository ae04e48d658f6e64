"""Settings as JSON that reads the same every time: no address in memory, no order of a set, no secret."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any
from uuid import UUID

from .concealment import Concealment

_DEEPEST = 20
_PLAIN = (str, bytes, int, float, Decimal, UUID, date, time, timedelta, PurePath)
_LISTS = (list, tuple, set, frozenset)


def learn_secrets(conceal: Concealment, name: str, value: Any) -> None:
    """Tell `conceal` every secret at and below the setting `name`."""
    for secret in _secrets(conceal, name, value, hidden=False, depth=0):
        conceal.learn(secret)
    for text in _texts(value, 0):
        conceal.learn_addresses(text)


def as_tree(conceal: Concealment, path: tuple[str, ...], value: Any) -> Any:
    """`value` as JSON. A secret is `{"secret": VERSION}`, whatever it looks like."""
    if conceal.hides(path[-1], value):
        return {"secret": conceal.version(path, _texts(value, 0))}
    return _plain(conceal, path, value)


def _plain(conceal: Concealment, path: tuple[str, ...], value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        text = conceal.text(str(value))
        return value if text == str(value) and math.isfinite(value) else text
    if len(path) > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        named = _named(value)
        return {
            conceal.text(str(key)): (
                {"secret": conceal.version((*path, named), _texts(item, 0))}
                if _is_value(key) and named and conceal.hides(named, item)
                else as_tree(conceal, (*path, str(key)), item)
            )
            for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(conceal, path, fields)
    if isinstance(value, set | frozenset):
        return sorted((_plain(conceal, (*path, ""), item) for item in value), key=str)
    if isinstance(value, list | tuple):
        if _is_pair(value) and conceal.hides(value[0], value[1]):
            return [value[0], {"secret": conceal.version((*path, value[0]), _texts(value[1], 0))}]
        return [_plain(conceal, (*path, ""), item) for item in value]
    return conceal.text(_text(value))


def _text(value: Any) -> str:
    """Of anything else: what it is, and its content only where that is known to be no more than it says."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, enum.Enum):
        return f"{_name(type(value))}.{value.name}"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    if isinstance(value, _PLAIN):
        return str(value)
    if isinstance(value, partial):
        return f"<partial of {_name(value.func)}>"
    if _is_lazy_text(value):
        return _lazy_text(value)
    if isinstance(value, type) or callable(value):
        return _name(value)
    return f"<{_name(type(value))}>"


def _lazy_text(value: Any) -> str:
    """What a lazy text says; only the error's kind where it can't be said (a URL's name that is gone)."""
    from django.utils import translation

    try:
        with translation.override(None):  # as it stands in the source, whatever language is active
            return str(value)
    except Exception as error:  # noqa: BLE001 – a project's own code
        return f"<lazy: {type(error).__name__}>"


def _name(value: Any) -> str:
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(kind, '__module__', '')}.{kind.__qualname__}".lstrip(".")


def _is_lazy_text(value: Any) -> bool:
    from django.utils.functional import Promise

    return isinstance(value, Promise)


def _is_pair(value: Any) -> bool:
    """`("X-Api-Key", "…")`: a name and its value in a list, as headers often are."""
    return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str | bytes)


def _named(value: Mapping[Any, Any]) -> str:
    """`X-Api-Key` of `{"name": "X-Api-Key", "value": "…"}`: a pair as a dict, as headers often are."""
    if any(_is_value(key) for key in value):
        for key, item in value.items():
            if str(key).lower() in ("name", "key", "header") and isinstance(item, str):
                return item
    return ""


def _is_value(key: Any) -> bool:
    return str(key).lower() in ("value", "values")


def _secrets(conceal: Concealment, name: str, value: Any, *, hidden: bool, depth: int) -> Iterator[str]:
    hidden = hidden or conceal.hides(name, value)
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        named = _named(value)
        for key, item in value.items():
            under = named if named and _is_value(key) else str(key)
            yield from _secrets(conceal, under, item, hidden=hidden, depth=depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            yield from _secrets(conceal, field.name, item, hidden=hidden, depth=depth + 1)
    elif isinstance(value, _LISTS):
        if len(value) == 2 and isinstance(value, list | tuple) and _is_pair(value):
            yield from _secrets(conceal, value[0], value[1], hidden=hidden, depth=depth + 1)
        for item in value:
            yield from _secrets(conceal, "", item, hidden=hidden, depth=depth + 1)
    elif hidden:
        yield from _texts(value, depth)


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Every text in `value`, at any depth."""
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item, depth + 1)
    elif isinstance(value, _LISTS):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, bytes):
        yield value.decode(errors="ignore")
    elif _is_lazy_text(value):
        yield _lazy_text(value)
    elif isinstance(value, str | PurePath | int):
        yield str(value)
