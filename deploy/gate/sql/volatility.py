"""PostgreSQL's own functions, and which of them may give another value for each row.

`postgresql_functions.txt` lists what SQL can call in pg_catalog of PostgreSQL 18 (the query is FUNCTIONS; a
test compares it with a server), a name to a line, with a `*` behind those of which a variant is VOLATILE
(https://www.postgresql.org/docs/current/xfunc-volatility.html).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

# Without what takes or returns pseudo-types that no SQL expression has (internal, cstring, triggers, …).
FUNCTIONS = """
    SELECT p.proname || CASE WHEN bool_or(p.provolatile = 'v') THEN '*' ELSE '' END
    FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a', 'w')
    AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) AS t(oid)
                    WHERE t.oid IN ('internal'::regtype, 'cstring'::regtype))
    AND p.prorettype NOT IN ('internal'::regtype, 'cstring'::regtype, 'trigger'::regtype,
        'event_trigger'::regtype, 'index_am_handler'::regtype, 'tsm_handler'::regtype,
        'table_am_handler'::regtype, 'language_handler'::regtype, 'fdw_handler'::regtype)
    GROUP BY p.proname ORDER BY p.proname COLLATE "C"
"""


def is_volatile_function(name: str) -> bool:
    """The function may differ from row to row; one that is not PostgreSQL's own is taken to."""
    return _known().get(name, True)


def is_builtin(name: str) -> bool:
    """The function is PostgreSQL's own."""
    return name in _known()


@cache
def _known() -> dict[str, bool]:
    names = (Path(__file__).parent / "postgresql_functions.txt").read_text(encoding="utf-8").split()
    return {name.rstrip("*"): name.endswith("*") for name in names}
