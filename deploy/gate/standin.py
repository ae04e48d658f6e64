"""While migrations are rehearsed, the configured alias *is* the scratch database.

Data migrations seldom say `.using(alias)`: what they write goes to the default database. In a rehearsal that
would be the live one, so its alias leads to the copy, and every other database refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from .offline import connection_like


@contextmanager
def standing_in(alias: str, scratch: str) -> Iterator[str]:
    """Yield `alias`, which is database `scratch` (an alias) inside the block, in new threads too."""
    if alias == scratch:
        yield alias
        return
    settings = dict(connections.settings)
    live = {name: connections[name] for name in settings if name != scratch}
    entry = dict(settings[scratch])
    try:
        connections.settings[alias] = entry
        for name in live:
            del connections[name]
            if name != alias:
                connections[name] = connection_like(name)
        connections[scratch].close()
        yield alias
    finally:
        connections[alias].close()
        connections.settings[alias] = settings[alias]
        for name, connection in live.items():
            connections[name] = connection
