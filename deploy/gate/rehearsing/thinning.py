"""Large tables of the copy emptied to a row before the way back is tried, whose cost nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import DatabaseError, connections, models
from django.db.transaction import atomic

from ..static.catalog import bare
from .readings import tables
from .samples import CannotMake, Maker

# Undoing and doing again an index or a rewrite on more than this would take as long as the migrations did.
LARGE_BYTES = 32 * 1024**2


def thin_out(alias: str, found: Iterable[type[models.Model]]) -> list[str]:
    """Empty the tables over `LARGE_BYTES` (and those that refer to them), and put a row of the models `found`
    into each that is empty then; the names of the large ones.

    A row is enough to see what a reverse operation cannot do with data: a NOT NULL that comes back without
    a default, say. A table of which no row can be made stays empty.
    """
    connection = connections[alias]
    large = {table.name for table in tables(connection).values() if table.size_bytes > LARGE_BYTES}
    known = [model for model in found if bare(model._meta.db_table) in large]
    if not known:
        return []
    names = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in known)
    try:
        with atomic(using=alias), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {names} CASCADE")
    except DatabaseError:  # a trigger or an event that forbids it: then it takes its time
        return []
    maker = Maker({}, alias)
    for model in found:
        try:
            with atomic(using=alias):
                if not model._base_manager.using(alias).exists():
                    maker.insert(model)
        except (DatabaseError, CannotMake, ValueError, TypeError, OverflowError, LookupError):
            continue
    return sorted(bare(model._meta.db_table) for model in known)
