"""All of them."""

from . import column_types, columns, constraints, data, indexes, operations, releases, statements, tables
from .case import Case

CASES: tuple[Case, ...] = (
    *columns.CASES,
    *column_types.CASES,
    *constraints.CASES,
    *indexes.CASES,
    *tables.CASES,
    *statements.CASES,
    *data.CASES,
    *operations.CASES,
    *releases.CASES,
)
