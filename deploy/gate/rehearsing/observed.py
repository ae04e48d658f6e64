"""What was seen of a statement, as data: time, locks, rewritten tables, rows read and written, WAL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

# How the locks were seen: at the end of the statement inside its transaction, by a second session while it
# ran (CONCURRENTLY, VACUUM: a poll every few milliseconds), or read from its text because the poll was late.
Seen = Literal["in its transaction", "while it ran", "from its text"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was there before the first migration: only its locks can hurt anyone."""

    name: str
    rows: int
    size_bytes: int
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """One statement, or a run of statements that only read and wrote rows.

    Attributes:
        statement: its first words, up to the first literal; `count` statements in the run.
        seconds: how long it took; `began` is the monotonic clock's when it was sent.
        locks: by table, the lock (as the manual names it) that it added or made stronger, from SHARE UPDATE
            EXCLUSIVE up.
        rewritten: tables that got a new file.
        scanned, written: rows by table (`pg_stat_xact_user_tables`: ALTER TABLE and CREATE INDEX count
            their scans there as well; of an index that parallel workers build, only the leader's share).
            A scan of an empty table is there with 0 rows.
        changed: of the rows written those that were there before, and those
            that a SELECT … FOR UPDATE locked.
        wal_bytes: how far the server's log went on meanwhile; other sessions of the server are in it.
        stops: what would wait behind its locks, by table.
    """

    statement: str
    seconds: float
    locks: dict[str, str] = field(default_factory=dict)
    rewritten: tuple[str, ...] = ()
    scanned: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    wal_bytes: int = 0
    stops: dict[str, str] = field(default_factory=dict)
    seen: Seen = "in its transaction"
    count: int = 1
    began: float = 0.0
    is_rows_only: bool = False
    unbatched: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the report and the ledger."""
        return {
            "statement": self.statement,
            "count": self.count,
            "seconds": self.seconds,
            "locks": self.locks,
            "seen": self.seen,
            "rewritten": list(self.rewritten),
            "rows_scanned": self.scanned,
            "rows_written": self.written,
            "wal_bytes": self.wal_bytes,
            "stops": self.stops,
        }


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that stopped writers (or readers too) on a table that was there before, and for how long.

    `behind` are the statements from the one that took it to the end of the transaction.
    """

    table: Table
    mode: str
    seconds: float
    behind: tuple[Observed, ...] = ()
