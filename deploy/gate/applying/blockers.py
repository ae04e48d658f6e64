"""Who stands in the way of a lock: sessions, prepared transactions, vacuums that PostgreSQL won't cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..sql.locks import CONFLICTS, Wanted

_PREVENTS_WRAPAROUND = "(to prevent wraparound)"
_LONGEST_SHAPE = 120

# The tables of the named relations: an index's table, the partitions and children of a table, and the other
# side of the foreign keys that go with what is dropped, all of which get the lock too. A table that is not in
# the search path is taken from whatever schema has it. What others hold there is in pg_locks for everyone;
# what they do only for members of pg_read_all_stats.
_HOLDERS = """
WITH RECURSIVE
asked AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS t(name, mode, drops, part)),
named AS (
    SELECT coalesce(i.indrelid, c.oid) AS oid, a.mode, a.drops, a.part
    FROM asked a
    JOIN pg_class c ON c.relname = a.name AND c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I')
        AND (pg_table_is_visible(c.oid) OR to_regclass(quote_ident(a.name)) IS NULL)
    LEFT JOIN pg_index i ON i.indexrelid = c.oid),
family AS (
    SELECT * FROM named
    UNION SELECT i.inhrelid, f.mode, f.drops, f.part FROM family f JOIN pg_inherits i ON i.inhparent = f.oid),
targets AS (
    SELECT oid, mode FROM family
    UNION SELECT unnest(ARRAY[k.conrelid, k.confrelid]), 'AccessExclusiveLock'
    FROM family f JOIN pg_constraint k ON k.contype = 'f' AND f.oid IN (k.conrelid, k.confrelid)
        AND (f.drops = 'table' OR k.conrelid = f.oid AND (
            f.drops = 'constraint' AND k.conname = f.part
            OR f.drops = 'column' AND EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = f.oid
                AND c.attname = f.part AND c.attnum = ANY (k.conkey)))))
SELECT t.mode, l.mode, l.pid, l.virtualtransaction, c.relname, p.gid,
    a.application_name, coalesce(p.owner, a.usename), a.state,
    extract(epoch FROM clock_timestamp() - coalesce(p.prepared, a.xact_start))::float,
    a.query, a.backend_type
FROM targets t
JOIN pg_class c ON c.oid = t.oid
JOIN pg_locks l ON l.locktype = 'relation' AND l.relation = t.oid AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.granted
    AND x.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE a.backend_type IS DISTINCT FROM 'parallel worker'
ORDER BY 10 DESC NULLS LAST
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A transaction that holds a lock on `table`.

    Attributes:
        pid: of the session; None for a prepared transaction, named or not.
        transaction: pg_locks.virtualtransaction, which no two transactions share.
        age_seconds: since its transaction began; None where the role may not see it.
        wraparound: an autovacuum that PostgreSQL does not cancel for a waiter.
        prepared: the name of a prepared transaction, which no session can end but ROLLBACK PREPARED.
        query: its last statement, without values.
    """

    pid: int | None
    transaction: str
    table: str
    application: str = ""
    user: str = ""
    state: str = ""
    age_seconds: float | None = None
    wraparound: bool = False
    prepared: str = ""
    query: str = ""

    def __str__(self) -> str:
        age = "of unknown age" if self.age_seconds is None else f"open for {self.age_seconds:.0f} s"
        if self.prepared:
            return f"prepared transaction {self.prepared!r} (user {self.user}, {age})"
        if self.pid is None:  # it has written nothing, so that nothing joins its locks to its name
            return "a prepared transaction that has only read"
        if self.wraparound:
            return f"pid {self.pid} (autovacuum to prevent wraparound, {age})"
        parts = [
            self.application or "no application name",
            f"user {self.user}" if self.user else "",
            self.state,
            f"transaction {age}",
            f"last statement: {self.query}" if self.query else "",
        ]
        return f"pid {self.pid} ({', '.join(part for part in parts if part)})"

    @property
    def remedy(self) -> str:
        """What a person can type to get it out of the way."""
        if self.prepared:
            name = self.prepared.replace("'", "''")
            return f"ROLLBACK PREPARED '{name}';"
        if self.pid is None:
            return "TABLE pg_prepared_xacts;  -- one of them"
        if self.wraparound:
            return f"TABLE pg_stat_progress_vacuum;  -- pid {self.pid} has to finish"
        return f"SELECT pg_terminate_backend({self.pid});"


def holders(session: Any, locks: Sequence[Wanted]) -> list[Blocker]:
    """Who holds a lock that conflicts with one of `locks`, oldest transaction first; one entry each.

    An ordinary autovacuum is left out: PostgreSQL cancels it for whoever waits
    (https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM). `session` is psycopg's.
    """
    if not locks:
        return []
    columns = [[lock.relation for lock in locks], [lock.mode for lock in locks]]
    columns += [[lock.drops for lock in locks], [lock.part for lock in locks]]
    with session.cursor() as cursor:
        rows = cursor.execute(_HOLDERS, columns).fetchall()
    found: dict[str, Blocker] = {}
    for mode, held, pid, transaction, table, gid, application, user, state, age, query, backend in rows:
        if held not in CONFLICTS[mode]:
            continue
        wraparound = backend == "autovacuum worker" and _PREVENTS_WRAPAROUND in (query or "")
        # Without pg_read_all_stats no backend type is seen, but an autovacuum has no user either.
        if not wraparound and (backend == "autovacuum worker" or (pid is not None and not user)):
            continue
        found.setdefault(
            transaction,
            Blocker(
                pid, transaction, table, application or "", user or "", state or "", age,
                wraparound=wraparound, prepared=gid or "", query="" if gid else shape(query or ""),
            ),
        )  # fmt: skip
    return list(found.values())


def shape(query: str) -> str:
    """A statement without comments and with ? for every value; what was cut off in the middle goes too."""
    from pglast.parser import ParseError, scan

    if query.startswith("<"):  # <insufficient privilege>
        return ""
    tokens: Sequence[Any] = ()
    while query and not tokens:
        try:
            tokens = scan(query)
        except ParseError as error:  # cut off inside a string: pg_stat_activity keeps 1024 bytes
            place = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], int) else 0
            query = query[: min(place, len(query) - 1)]
    words: list[str] = []
    for token in tokens:
        if token.name in {"C_COMMENT", "SQL_COMMENT"}:
            continue
        words.append("?" if token.name.endswith("CONST") else query[token.start : token.end + 1])
    text = " ".join(words)
    return text if len(text) <= _LONGEST_SHAPE else f"{text[: _LONGEST_SHAPE - 1]}…"
