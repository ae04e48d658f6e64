"""All of them."""

from . import column_types, columns, constraints, data, indexes, releases, tables
from .case import Case

CASES: tuple[Case, ...] = (
    *columns.CASES,
    *column_types.CASES,
    *constraints.CASES,
    *indexes.CASES,
    *tables.CASES,
    *data.CASES,
    *releases.CASES,
)
