"""While migrations are rehearsed, the configured alias *is* the scratch database.

Data migrations seldom say `.using(alias)`: what they write goes to the default database. In a rehearsal that
would be the live one, so its alias leads to the copy, as do those that Django's settings call its mirrors
(DATABASES[…]["TEST"]["MIRROR"]: replicas), and every other database refuses: in threads of the migration too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .unconnected import connection_like


@contextmanager
def standing_in(alias: str, scratch: str) -> Iterator[str]:
    """Yield `alias`, which is database `scratch` (an alias) inside the block, in new threads too."""
    if alias == scratch:
        yield alias
        return
    settings = dict(connections.settings)
    live = dict(_connections(set(settings) - {scratch}))
    entry = dict(settings[scratch])
    mirrors = {name for name in settings if (settings[name].get("TEST") or {}).get("MIRROR") == alias}
    make = connections.create_connection

    def make_or_refuse(name: str) -> BaseDatabaseWrapper:
        """Connections are made per thread: this is asked in those that a migration starts, too."""
        return connection_like(name) if name in refused else make(name)

    refused = set(settings) - mirrors - {alias, scratch}
    connections.create_connection = make_or_refuse  # type: ignore[assignment,method-assign]  # put back below
    try:
        for name in {alias} | mirrors:
            connections.settings[name] = entry
        for name in live:
            del connections[name]
        for name in mirrors:  # one transaction sees what the other has done, as in Django's tests
            connections[name] = connections[alias]
        connections[scratch].close()
        yield alias
    finally:
        connections.create_connection = make  # type: ignore[method-assign]  # as it was
        connections[alias].close()
        for name in {alias} | mirrors:
            connections.settings[name] = settings[name]
        for name in set(settings) - set(live) - {scratch}:
            with suppress(AttributeError):  # it was not asked for
                del connections[name]
        for name, connection in live.items():
            connections[name] = connection


def _connections(names: Iterable[str]) -> Iterator[tuple[str, BaseDatabaseWrapper]]:
    """This thread's; not those of engines whose driver is not installed."""
    for name in names:
        with suppress(ImproperlyConfigured, ImportError):
            yield name, connections[name]
