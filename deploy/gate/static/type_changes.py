"""What ALTER COLUMN … TYPE costs: a rewrite, a scan for a check, an index built again, or nothing.

https://www.postgresql.org/docs/current/sql-altertable.html, Notes; what else is looked at again was observed
on PostgreSQL 15 and 18 (a test does it anew).
"""

from __future__ import annotations

import re

from ..sql.effect import Effect
from .catalog import Catalog, Table

_ONE_FORM = {"varchar", "text"}  # stored alike, compared alike
_TIMESTAMPS = {"timestamp", "timestamp with time zone"}
_MOST_DIGITS = 6  # of a fraction of a second; what timestamps without a precision have


def cost(catalog: Catalog, effect: Effect) -> tuple[str, str]:
    """What `effect` (of kind set_type) brings: ("rewrite" | "check" | "index" | "", because of what)."""
    table = catalog.tables.get(effect.table)
    column = table.columns.get(effect.column) if table else None
    if table is None or column is None:
        return "rewrite", "a type that is not known"
    if effect.computed or rewrites(column.type, effect.new):
        return "rewrite", column.type
    recollated = bool(effect.collation) and effect.collation != column.collation
    if column.type == effect.new and not recollated:
        return "", ""
    if checks := [one for one in table.rules if effect.column in one.columns and one.valid]:
        return "check", checks[0].name or "of the column"
    if index := _rebuilt(table, effect, column.type, recollated=recollated):
        return "index", index
    return "", ""


def _rebuilt(table: Table, effect: Effect, old: str, *, recollated: bool) -> str:
    """The name of an index that does not survive the change as it is."""
    base, new = parts(old)[0], parts(effect.new)[0]
    compared_anew = recollated or (base != new and not {base, new} <= _ONE_FORM)
    for one in table.indexes:
        if effect.column in one.inside or (compared_anew and effect.column in one.columns):
            return one.name or f"on {', '.join(one.columns)}"
    return ""


def rewrites(old: str, new: str) -> bool:
    """ALTER COLUMN TYPE rewrites the table.

    PostgreSQL skips the rewrite when the old type is binary coercible to the new one or an unconstrained
    domain over it (https://www.postgresql.org/docs/current/sql-altertable.html, Notes).
    """
    if old == new:
        return False
    old_base, old_size = parts(old)
    base, size = parts(new)
    if old_base in {"varchar", "text", "citext"} and base in {"varchar", "text", "citext"}:
        if not size:
            return False
        return old_base != "varchar" or base != "varchar" or not old_size or size[0] < old_size[0]
    if old_base == base == "numeric":
        if not size:
            return False
        same_scale = (old_size[1:] or [0]) == (size[1:] or [0])
        return not (old_size and same_scale and size[0] >= old_size[0])
    if old_base == base == "varbit":
        return bool(size) and (not old_size or size[0] < old_size[0])
    if {old_base, base} == _TIMESTAMPS:  # under UTC, which Django sets on its connections (PostgreSQL 12)
        return bool(size) and size[0] < _MOST_DIGITS
    if base == old_base in {"interval", "time", "time with time zone", *_TIMESTAMPS}:
        return (size or [_MOST_DIGITS])[0] < (old_size or [_MOST_DIGITS])[0]
    return (old_base, base) != ("cidr", "inet")


def parts(kind: str) -> tuple[str, list[int]]:
    """`numeric(10,2)`: ("numeric", [10, 2]); brackets of arrays stay with the name."""
    match = re.match(r"([^(\[]+)(?:\(([\d,]+)\))?(.*)", kind)
    if match is None:
        return kind, []
    sizes = [int(part) for part in (match.group(2) or "").split(",") if part]
    return (match.group(1) + match.group(3)).strip(), sizes
