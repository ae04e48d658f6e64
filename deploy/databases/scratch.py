"""A second database beside the configured one, reachable as a Django alias for the length of a block."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

SCRATCH_ALIAS = "deploy_scratch"


@contextmanager
def database_alias(like: str, name: str, *, alias: str = SCRATCH_ALIAS) -> Iterator[str]:
    """Yield a Django database alias with the settings of alias `like` but database (or file) `name`.

    It creates and drops no database; every connection it opened in this thread is closed at the end.
    """
    entry = copy.deepcopy(connections.settings[like])
    entry["NAME"] = name
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
