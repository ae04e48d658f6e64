"""A second database beside the configured one, reachable as a Django alias for the length of a block."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connections

SCRATCH_ALIAS = "deploy_scratch"


@contextmanager
def database_alias(
    like: str, name: str, *, alias: str = SCRATCH_ALIAS, changes: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """Yield a Django database alias with the settings of alias `like` but database (or file) `name`.

    `changes` are other settings that differ, for a database on another server.

    It creates and drops no database; every connection it opened in this thread is closed at the end.
    """
    entry = copy.deepcopy(connections.settings[like])
    entry["NAME"] = name
    entry.update(changes or {})
    entry["CONN_MAX_AGE"] = 0
    connections.settings[alias] = entry
    try:
        yield alias
    finally:
        try:
            connections[alias].close()
            del connections[alias]
        finally:
            del connections.settings[alias]
