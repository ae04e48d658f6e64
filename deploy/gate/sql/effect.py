"""One thing that a SQL statement does to a schema, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_ALIASES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "float8": "double precision", "float4": "real", "decimal": "numeric",
    "timestamptz": "timestamp with time zone", "timetz": "time with time zone",
    "character varying": "varchar", "character": "char", "bpchar": "char", "bit varying": "varbit",
}  # fmt: skip
SERIAL = {
    "serial": "integer", "bigserial": "bigint", "smallserial": "smallint",
    "serial4": "integer", "serial8": "bigint", "serial2": "smallint",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a statement does.

    Attributes:
        kind: create_table, drop_table, rename_table, add_column, drop_column, rename_column, set_type,
            set_not_null, drop_not_null, set_default, drop_default, add_unique, add_primary_key, add_exclude,
            add_check, add_not_null, add_fk, drop_constraint, validate, create_index, drop_index, reindex,
            update, delete, insert (of what a query finds), truncate, lock, vacuum, vacuum_full, cluster,
            rewrite, transaction, gone, attach, detach, no_limit, create_domain, create_view,
            create_sequence, restart, setval (of a sequence), no_time_limit,
            opaque, unreadable, other.
        table, column, name: bare names, lower case unless quoted; name is the constraint's, index's or
            object's, or the partition's.
        new: the new name of a rename, the new type of a column, the referenced table of a foreign key, the
            condition of a check, the expressions and condition of an index, the index that a constraint uses,
            the mode of a lock, the table behind a view, the reason why a statement is unreadable.
        columns: of an index, constraint or new table's definition; of an UPDATE or DELETE, those that the
            condition holds to given values.
        mentions: columns inside the expressions of an index or constraint.
        predicate: columns in the condition of a partial index.
        not_null, default, generated, identity: of a new column; default is SQL text.
        volatile: the default calls a function of PostgreSQL's that may differ from row to row.
        calls: the functions in the default that are not PostgreSQL's own.
        collation: that a type change names.
        computed: a type change has a USING that is more than a cast to the new type.
        concurrently, valid, using_index, unique, batched, deferrable: how it is done.
        nulls_equal: NULLS NOT DISTINCT: a uniqueness that NULL can violate.
        cascade: what depends on it goes too.
        only_parent: an index ON ONLY: of a partitioned table, whose own index has nothing to build.
        replaces: it takes the place of what has that name, if anything has.
        verb: the statement's first words, for messages.
    """

    kind: str
    table: str = ""
    column: str = ""
    name: str = ""
    new: str = ""
    columns: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    predicate: tuple[str, ...] = ()
    added: tuple[Effect, ...] = ()
    not_null: bool = False
    default: str | None = None
    generated: str = ""
    identity: bool = False
    volatile: bool = False
    calls: tuple[str, ...] = ()
    collation: str = ""
    computed: bool = False
    concurrently: bool = False
    valid: bool = True
    using_index: bool = False
    unique: bool = False
    batched: bool = False
    deferrable: bool = False
    nulls_equal: bool = False
    cascade: bool = False
    replaces: bool = False
    only_parent: bool = False
    verb: str = ""


@lru_cache(maxsize=4096)
def normal_type(text: str) -> str:
    """A type's one spelling: lower case, no spaces around parentheses, aliases resolved."""
    text = re.sub(r"\s*([(),\[\]])\s*", r"\1", text.strip().lower())
    base, opening, rest = re.match(r"([^(\[]*)([(\[]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # matches anything
    base = " ".join(base.split())
    for kind in ("timestamp", "time"):
        if base == f"{kind} without time zone":
            base = kind
        elif opening == "(" and base == kind:
            size, _, zone = rest.partition(")")
            zone = zone.strip()
            if zone.startswith("with time zone"):
                base, rest = f"{kind} with time zone", f"{size}){zone.removeprefix('with time zone').strip()}"
            else:
                rest = f"{size}){zone.removeprefix('without time zone').strip()}"
    return _ALIASES.get(base, base) + opening + rest
