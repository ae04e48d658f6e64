"""One thing that a SQL statement does to a schema, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ALIASES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "float8": "double precision", "float4": "real", "decimal": "numeric",
    "timestamptz": "timestamp with time zone",
    "character varying": "varchar", "character": "char", "bpchar": "char",
}  # fmt: skip
SERIAL = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a statement does.

    Attributes:
        kind: create_table, drop_table, rename_table, add_column, drop_column, rename_column, set_type,
            set_not_null, drop_not_null, set_default, drop_default, add_unique, add_primary_key, add_exclude,
            add_check, add_not_null, add_fk, drop_constraint, validate, create_index, drop_index, reindex,
            update, delete, truncate, lock, vacuum_full, cluster, transaction, gone, detach, no_limit,
            opaque, other.
        table, column, name: bare names, lower case unless quoted; name is the constraint's, index's or
            object's.
        new: the new name of a rename, the new type of a column, the referenced table of a foreign key, the
            condition of a check, the expressions and condition of an index, the index that a constraint uses.
        columns: of an index, constraint or new table's definition.
        not_null, default, generated, identity: of a new column; default is SQL text.
        mentions: columns inside the expressions of an index or constraint.
        concurrently, valid, using_index, unique, batched, deferrable: how it is done.
        verb: the statement's first words, for messages.
    """

    kind: str
    table: str = ""
    column: str = ""
    name: str = ""
    new: str = ""
    columns: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    added: tuple[Effect, ...] = ()
    not_null: bool = False
    default: str | None = None
    generated: str = ""
    identity: bool = False
    concurrently: bool = False
    valid: bool = True
    using_index: bool = False
    unique: bool = False
    batched: bool = False
    deferrable: bool = False
    verb: str = ""


def normal_type(text: str) -> str:
    """A type's one spelling: lower case, no spaces around parentheses, aliases resolved."""
    text = re.sub(r"\s*([(),\[\]])\s*", r"\1", text.strip().lower())
    base, bracket, rest = text.partition("(")
    base = " ".join(base.split())
    if base.startswith("timestamp") and rest.endswith("with time zone"):
        return "timestamp with time zone"
    if base in {"timestamp without time zone", "timestamp"} and not rest.endswith("with time zone"):
        return "timestamp"
    return _ALIASES.get(base, base) + bracket + rest
