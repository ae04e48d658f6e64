"""How large and how busy the live tables are, and what a second on the copy is worth there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connections

from .observed import Observed, Table

# --- the thresholds of the rehearsal, all of them here ------------------------------------------------------
# A lock that stops writers for less than this is no longer than an ordinary slow statement: nothing is said,
# where the live table's statistics prove it small.
QUIET_SECONDS = 0.1
# A table that gets fewer statements than this is not hot: too long a lock on it is a warning, not an error.
HOT_PER_SECOND = 1.0
# Rows that one transaction may write before their locks are worth a warning: the order of a batch.
MANY_ROWS = 10_000
# A copy of a table below this says nothing of the time that a large one takes; then the size is divided by
# these rates, which a small cloud disk (100 to 200 MB/s) does.
TOO_SMALL_TO_SCALE_BYTES = 4 * 1024**2
SCAN_BYTES_PER_SECOND = 200 * 1024**2
REWRITE_BYTES_PER_SECOND = 50 * 1024**2

# Since the counters were reset, or the server started.
_USE = """SELECT c.relname, c.reltuples::bigint, pg_total_relation_size(c.oid),
    (coalesce(s.seq_scan, 0) + coalesce(s.idx_scan, 0)) / seconds,
    (s.n_tup_ins + s.n_tup_upd + s.n_tup_del) / seconds
    FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid CROSS JOIN (
        SELECT greatest(extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time())), 60)
        AS seconds FROM pg_stat_database WHERE datname = current_database()) since
    WHERE c.relkind IN ('r', 'm')"""
_HAS_STATEMENTS = "SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"
_STATEMENTS = r"""SELECT coalesce(sum(calls), 0) /
    (SELECT greatest(extract(epoch FROM now() - stats_reset), 60)
    FROM pg_stat_statements_info) FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND query ~ ('\m' || %s || '\M')"""


@dataclass(frozen=True, slots=True)
class Use:
    """A live table: rows (None where it was never analysed), bytes, scans and written rows per second."""

    rows: int | None
    size_bytes: int
    reads_per_second: float
    writes_per_second: float


@dataclass(frozen=True, slots=True)
class Production:
    """What is known of the live database; `missing` says why nothing is, `statements` are calls per second
    by table from pg_stat_statements where it is there."""

    uses: dict[str, Use] = field(default_factory=dict)
    statements: dict[str, float] = field(default_factory=dict)
    missing: str = ""

    def per_second(self, table: str) -> float | None:
        """Statements on `table` per second, the larger of what the statistics know; None for unknown."""
        use = self.uses.get(table)
        if use is None:
            return None
        return max(use.reads_per_second, use.writes_per_second, self.statements.get(table, 0.0))

    def is_known(self, table: str) -> bool:
        """Its size is known well enough to call it small."""
        use = self.uses.get(table)
        return use is not None and use.rows is not None

    def is_small(self, table: str) -> bool:
        """It is known to be so small that what a statement took on a busy copy says nothing of it."""
        use = self.uses.get(table)
        return use is not None and use.rows is not None and use.size_bytes < TOO_SMALL_TO_SCALE_BYTES

    def seconds(self, one: Observed, there: dict[str, Table]) -> float:
        """What the statement would take in production: in proportion to the tables that it scans, rewrites
        or writes, and as on the copy where its cost does not grow with any.
        """
        estimate = one.seconds
        for name in {*one.rewritten, *one.scanned, *one.written}:
            use, copy = self.uses.get(name), there.get(name)
            if use is None or copy is None:
                continue
            if copy.size_bytes >= TOO_SMALL_TO_SCALE_BYTES:
                estimate = max(estimate, one.seconds * use.size_bytes / copy.size_bytes)
            elif one.rewritten or name in one.written:
                share = 1.0 if one.rewritten else min(1.0, one.written[name] / max(copy.rows, 1))
                estimate = max(estimate, share * use.size_bytes / REWRITE_BYTES_PER_SECOND)
            elif one.scanned[name] * 2 >= copy.rows:
                estimate = max(estimate, use.size_bytes / SCAN_BYTES_PER_SECOND)
        return estimate


def read_production(alias: str) -> Production:
    """Sizes and activity of the live database `alias`; nothing is written, and a failure is an answer."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return Production(missing="only PostgreSQL counts the use of tables")
    try:
        with connection.cursor() as cursor:
            cursor.execute(_USE)
            uses = {
                str(name): Use(int(rows) if rows >= 0 else None, int(size), float(reads), float(writes))
                for name, rows, size, reads, writes in cursor.fetchall()
            }
            return Production(uses, _calls(cursor, uses))
    except DatabaseError as error:
        return Production(missing=f"the live database did not tell ({type(error).__name__})")


def _calls(cursor: Any, uses: dict[str, Use]) -> dict[str, float]:
    """Statements per second that name a table of some size; nothing without the extension or the right."""
    cursor.execute(_HAS_STATEMENTS)
    if not cursor.fetchone():
        return {}
    found = {}
    try:
        for name, use in uses.items():
            if use.size_bytes >= TOO_SMALL_TO_SCALE_BYTES and name.isidentifier():
                cursor.execute(_STATEMENTS, [name])
                found[name] = float(cursor.fetchone()[0])
    except DatabaseError:  # not loaded by shared_preload_libraries, or older than 1.9
        return {}
    return found
