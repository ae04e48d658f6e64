"""Which statements of a release's code fail on a schema: states compared, not operations matched."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..sql.expressions import same_text
from .catalog import Catalog, Column, Table, Tightening
from .type_changes import parts

_WHOLE = {"smallint": 2, "integer": 4, "bigint": 8}
_TEXT = {"varchar", "char", "text", "citext"}
_ROOMIER = {
    "date": {"timestamp", "timestamp with time zone"},
    "real": {"double precision", "numeric"},
    "double precision": set(),
    "json": {"jsonb"},
    "jsonb": {"json"},
    "cidr": {"inet"},
    "timestamp": {"timestamp with time zone"},
    "timestamp with time zone": {"timestamp"},
}


@dataclass(frozen=True, slots=True)
class Breakage:
    """Statements (INSERT, SELECT, …) of a model that fail, on which field, and why.

    `certain` is False where it depends on what the code writes: a row may violate a new constraint, a
    nullable field may be given a value each time, no statement may name a uniqueness.
    """

    model: str
    field: str
    statements: tuple[str, ...]
    reason: str
    table: str = ""
    column: str = ""
    certain: bool = True

    @property
    def text(self) -> str:
        """For a message: `shop.Order.note: INSERT fails, …`."""
        name = f"{self.model}.{self.field}" if self.field else self.model
        fails = "fail" if len(self.statements) > 1 else "fails"
        return f"{name}: {', '.join(self.statements)} {fails}, {self.reason}"


_TRUE = {"true", "not false", "1 = 1", "null"}
EVERY = ("SELECT", "INSERT", "UPDATE", "DELETE")
WRITES = ("INSERT", "UPDATE")


UPSERT = ("INSERT … ON CONFLICT",)


def breakages(
    code: Catalog, database: Catalog, tables: Collection[str], *, upserts: bool = False
) -> list[Breakage]:
    """What of the code's models, on `tables`, the database would refuse.

    `upserts`: the code may have come to rely on what its models say is unique (code in use, not new code).
    """
    found: list[Breakage] = []
    for name in sorted(set(tables) & set(code.tables)):
        needed = code.tables[name]
        there = database.tables.get(name)
        if there is None:
            found.append(Breakage(needed.model, "", EVERY, f"table {name} is not there"))
        else:
            found += _on_table(needed, there)
            found += _upserts(needed, there) if upserts else []
    return found


_MAY_BE_NULL = "the NULL that the code may write"


def _on_table(needed: Table, there: Table) -> list[Breakage]:
    found: list[Breakage] = []
    for column in needed.columns.values():
        if reason := _refused(column, there.columns.get(column.name)):
            certain = not reason[1].endswith(_MAY_BE_NULL)
            found.append(Breakage(needed.model, column.field, *reason, certain=certain))
    for extra in there.columns.values():
        if extra.name not in needed.columns and not extra.null and not extra.default:
            found.append(
                Breakage(
                    needed.model,
                    "",
                    ("INSERT",),
                    f"column {extra.name} is NOT NULL without a database default and the code does "
                    f"not know it",
                    there.name,
                    extra.name,
                )
            )
    for one in there.tightened:
        if _can_violate(one, needed, there):
            found.append(
                Breakage(
                    needed.model,
                    "",
                    WRITES,
                    f"{_RULES[one.kind]}{_named(one.name, one.columns)} may refuse its rows",
                    certain=not set(one.columns) & set(needed.columns) and not one.mentions,
                )
            )
    return found


def _upserts(needed: Table, there: Table) -> list[Breakage]:
    return [
        Breakage(
            needed.model,
            "",
            UPSERT,
            f"the uniqueness of {one.text} that it may name is gone",
            there.name,
            one.text,
            certain=False,
        )
        for one in needed.arbiters
        if one.columns <= set(there.columns) and not any(other.serves(one) for other in there.arbiters)
    ]


_RULES = {
    "add_unique": "the uniqueness",
    "add_primary_key": "the primary key",
    "add_exclude": "the exclusion",
    "add_check": "the check",
    "add_fk": "the foreign key",
}


def _named(name: str, columns: tuple[str, ...]) -> str:
    return f" {name}" if name else f" of {', '.join(columns) or 'no column'}"


def _refused(column: Column, there: Column | None) -> tuple[tuple[str, ...], str] | None:
    if there is None:
        return ("SELECT", *WRITES), f"column {column.name} is not there"
    if column.generated and not there.generated:
        return None
    if there.generated and not column.generated:
        return WRITES, f"column {column.name} is generated"
    if column.target and there.target and column.target != there.target:
        return WRITES, f"column {column.name} references {there.target} instead of {column.target}"
    if column.null and not there.null:
        return WRITES, f"column {column.name} does not take {_MAY_BE_NULL}"
    if column.sends_default and not there.default and not there.null:
        return ("INSERT",), f"column {column.name} has lost the default that the code leaves to the database"
    if reason := misfit(column.type, there.type):
        return reason
    return None


def _can_violate(one: Tightening, needed: Table, there: Table) -> bool:
    kind = one.kind
    if kind == "add_unique" and not one.mentions and any(u <= set(one.columns) for u in needed.unique):
        return False  # what is unique by fewer columns is unique by more
    if kind == "add_unique" and one.detail and _is_declared(one, needed):
        return False
    if kind == "add_check" and same_text(one.detail) in needed.checks:
        return False
    if kind == "add_check" and _is_not_null_already(one, needed):
        return False
    columns = frozenset((*one.columns, *one.mentions))
    known = columns & set(needed.columns)
    if kind == "add_check" and not columns:  # it looks at no row: FALSE refuses all of them
        return one.detail.lower() not in _TRUE
    if kind == "add_fk":
        return any(not needed.columns[name].target for name in known)  # another target is told by its column
    if one.mentions:  # what an expression makes of a column that the code leaves out is not known
        return bool(known)
    if not known:
        # The code leaves these columns to the database: NULL violates nothing, a constant default may.
        unknown = [there.columns[name] for name in columns if name in there.columns]
        same = all((each.default and not each.null) or one.nulls_equal for each in unknown)
        return kind == "add_unique" and bool(unknown) and same
    if kind == "add_unique":
        unknown = [there.columns[name] for name in columns - known if name in there.columns]
        return one.nulls_equal or not any(each.null and not each.default for each in unknown)
    return True


def _is_not_null_already(one: Tightening, needed: Table) -> bool:
    column = needed.columns.get(one.columns[0]) if len(one.columns) == 1 else None
    if column is None or column.null:
        return False
    return same_text(one.detail) == same_text(f'"{column.name}" IS NOT NULL')


def _is_declared(one: Tightening, needed: Table) -> bool:
    return any(
        (each.columns, each.definition) == (frozenset(one.columns), one.detail) for each in needed.arbiters
    )


def misfit(code: str, column: str) -> tuple[tuple[str, ...], str] | None:
    """Why values of type `code` do not go into a column of type `column`: (statements, reason), or None."""
    if code == column or not code or not column:
        return None
    if code.endswith("[]") and column.endswith("[]"):
        return misfit(code[:-2], column[:-2])
    code_base, code_size = parts(code)
    base, size = parts(column)
    narrowed = f"{code} became {column}, which takes less"
    if code_base in _WHOLE and base in _WHOLE:
        return (WRITES, narrowed) if _WHOLE[base] < _WHOLE[code_base] else None
    if code_base in _WHOLE and base in {"numeric", "double precision"}:
        return (WRITES, narrowed) if size and size[0] - size[-1] * (len(size) > 1) < 19 else None
    if code_base in _TEXT and base in _TEXT:
        too_small = bool(size) and (not code_size or size[0] < code_size[0])
        return (WRITES, narrowed) if too_small else None
    if code_base == base == "numeric":
        if not size:
            return None
        scale, code_scale = size[1] if len(size) > 1 else 0, code_size[1] if len(code_size) > 1 else 0
        loses = not code_size or scale < code_scale or size[0] - scale < code_size[0] - code_scale
        return (WRITES, narrowed) if loses else None
    if base == code_base and base in {"bit", "varbit"} and size and size[0] < (code_size or [1])[0]:
        return WRITES, narrowed
    if base == code_base or base in _ROOMIER.get(code_base, set()):
        return None
    return ("SELECT", *WRITES), f"its type {code} became {column}"
