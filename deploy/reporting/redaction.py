"""Keeps secrets out of everything this app writes.

Secrets are known by value: whatever reads one (settings, a database URL, a secret reference) registers it,
and every finding, report, log record and ledger record passes through `redact`.
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

# Shorter values would blank out ordinary words ("dev", "test"); such a secret protects nothing anyway.
_MIN_SECRET_LENGTH = 6
_MASK = "[redacted]"

_secrets: set[str] = set()
_guard = threading.Lock()


def register_secret(value: object) -> None:
    """From now on `value` (its text, and its percent-encoded form) is masked in all output."""
    text = str(value or "")
    if len(text) < _MIN_SECRET_LENGTH:
        return
    with _guard:
        _secrets.update({text, quote(text, safe=""), quote(text)})


def redact(text: str) -> str:
    """`text` with every registered secret replaced by a mask."""
    with _guard:
        known = sorted(_secrets, key=len, reverse=True)
    for secret in known:
        if secret in text:
            text = text.replace(secret, _MASK)
    return text


def redact_tree(value: Any) -> Any:
    """`redact` for JSON-like data: every string in dicts (keys too), lists and tuples."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(key)): redact_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return value
