"""The findings about what a statement locks, and for how long."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

from . import data_examples, examples

INDEX_BLOCKS = FindingType(
    "deploy.M010",
    "warning",
    "CREATE INDEX {name} takes a SHARE lock on {table}: no write passes while the index is built{held}.",
    "Build it CONCURRENTLY, alone in a migration:\n{code}",
    lock="SHARE on the table while the index is built: reads pass, INSERT, UPDATE and DELETE wait.",
    depends="The size of the table; a table that the same release creates is exempt.",
    source="https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
    danger=examples.INDEX,
    safe=examples.INDEX_SAFE,
)
FOREIGN_KEY_SCANS = FindingType(
    "deploy.M011",
    "warning",
    "The foreign key {table}.{column} is validated in place: SHARE ROW EXCLUSIVE on "
    "{table} and {target} during "
    "a scan of {table}.",
    "Add it NOT VALID, and validate it in a migration of its own:\n{code}",
    lock="SHARE ROW EXCLUSIVE on both tables during the scan: writes wait. NOT VALID takes it for a "
    "moment; VALIDATE takes SHARE UPDATE EXCLUSIVE, which stops nobody.",
    depends="The size of the referencing table; not for a column that the same statement adds without a "
    "default.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES",
    danger=examples.FOREIGN_KEY,
    safe=examples.FOREIGN_KEY_SAFE,
)
CHECK_SCANS = FindingType(
    "deploy.M012",
    "warning",
    "The check {name} is validated in place: ACCESS EXCLUSIVE on {table} during a scan of it.",
    "Add it NOT VALID, and validate it in a migration of its own:\n{code}",
    lock="ACCESS EXCLUSIVE on the table during the scan: nobody reads or writes. VALIDATE takes SHARE "
    "UPDATE EXCLUSIVE, which stops nobody.",
    depends="The size of the table.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES",
    danger=examples.CHECK,
    safe=examples.CHECK_SAFE,
)
NOT_NULL_SCANS = FindingType(
    "deploy.M013",
    "warning",
    "SET NOT NULL scans {table} under ACCESS EXCLUSIVE to prove that {column} has no NULL.",
    "Prove it beforehand with a valid check (the scan is then skipped, PostgreSQL 12 and newer):\n{code}",
    lock="ACCESS EXCLUSIVE on the table during the scan.",
    depends="The size of the table; PostgreSQL 12 and newer skip the scan when a valid check proves it, "
    "18 knows NOT NULL … NOT VALID.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-"
    "NOT-NULL",
    danger=examples.NOT_NULL,
    safe=examples.NOT_NULL_SAFE,
)
UNIQUE_BUILDS = FindingType(
    "deploy.M014",
    "warning",
    "The {what} on {table} ({columns}) builds its index under ACCESS EXCLUSIVE.",
    "Build a unique index CONCURRENTLY, then attach it:\n{code}",
    lock="ACCESS EXCLUSIVE on the table while the index is built.",
    depends="The size of the table.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-"
    "CONSTRAINT-USING-INDEX",
    danger=examples.UNIQUE,
    safe=examples.UNIQUE_SAFE,
)
TYPE_REWRITES = FindingType(
    "deploy.M015",
    "warning",
    "{table}.{column} changes from {old} to {new}: PostgreSQL rewrites {table} under ACCESS EXCLUSIVE.",
    "Add a new column, write both, fill it in batches, then drop the old one:\n{code}",
    lock="ACCESS EXCLUSIVE on the table while all rows and indexes are written anew.",
    depends="The two types: a longer varchar, text instead of varchar and numeric of more digits at the "
    "same scale are free. And the size of the table.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES",
    danger=examples.TYPE,
    safe=examples.TYPE_SAFE,
)
COLUMN_REWRITES = FindingType(
    "deploy.M016",
    "warning",
    "ADD COLUMN {table}.{column} has {what}: PostgreSQL rewrites {table} under ACCESS EXCLUSIVE.",
    "Add it nullable and without that, set the default afterwards, and fill the rows in batches:\n{code}",
    lock="ACCESS EXCLUSIVE on the table while all rows are written anew.",
    depends="The default: a constant or now() is stored once (PostgreSQL 11 and newer), a volatile one is"
    " computed for every row. A virtual generated column (18) writes nothing.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES",
    danger=examples.COLUMN,
    safe=examples.COLUMN_SAFE,
)
UNBATCHED = FindingType(
    "deploy.M017",
    "warning",
    "{verb} on {table} in one statement keeps a row lock on every row that it "
    "touches until the migration commits.",
    "Do it in batches, outside of a transaction:\n{code}",
    lock="ROW EXCLUSIVE on the table, and every row that is changed, until the migration commits.",
    depends="The number of rows.",
    source="https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS",
    danger=data_examples.UNBATCHED,
    safe=data_examples.BATCHED,
)
MAINTENANCE = FindingType(
    "deploy.M019",
    "warning",
    "{verb} holds {lock} on {table} for as long as it or its transaction takes.",
    "{hint}",
    lock="The one that the message names.",
    depends="The size of the table, and the rest of the transaction.",
    source="https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES",
    danger=data_examples.LOCK_TABLE,
)
VALIDATED_TOO_SOON = FindingType(
    "deploy.M021",
    "warning",
    "VALIDATE CONSTRAINT {name} runs in the transaction that added it, which still holds its strong lock on "
    "{table} during the scan.",
    "Move VALIDATE CONSTRAINT into the next migration.",
    lock="The lock of the ADD (ACCESS EXCLUSIVE for a check), kept during the scan.",
    depends="atomic of the migration, and the size of the table.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES",
    danger=examples.VALIDATED_TOO_SOON,
    safe=examples.CHECK_SAFE,
)
DATA_WITH_DDL = FindingType(
    "deploy.M023",
    "warning",
    "RunPython shares a transaction with schema changes of {table}: their locks stay held while it works.",
    "Move RunPython into a migration of its own.",
    lock="That of the schema change (ACCESS EXCLUSIVE, as a rule), kept until the data is done.",
    depends="The number of rows that the function goes through.",
    source="https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES",
    danger=data_examples.DATA_WITH_DDL,
    safe=data_examples.DATA_ALONE,
)
NO_LOCK_LIMIT = FindingType(
    "deploy.M031",
    "error",
    "{verb} takes away the limit on waiting for locks: the next statement may queue all traffic behind it.",
    "Take it out; the limit is DEPLOY['STATEMENT_LOCK_TIMEOUT_SECONDS'].",
    lock="The next statement waits for its own without end, and whoever comes after it waits behind.",
    source="https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT",
    danger=data_examples.NO_LIMIT,
)
TYPE_LOOKS_AGAIN = FindingType(
    "deploy.M034",
    "warning",
    "{table}.{column} becomes {new}: PostgreSQL does not rewrite {table}, but {again}, under ACCESS "
    "EXCLUSIVE.",
    "Drop that check or index first (the check comes back NOT VALID and is validated in a migration of its "
    "own, the index CONCURRENTLY), or add a new column:\n{code}",
    why="A type change that is free by itself is followed by everything that depends on the column.",
    lock="ACCESS EXCLUSIVE on the table, for as long as the scan or the index build takes.",
    depends="The checks and indexes on the column, and the size of the table.",
    source="https://www.postgresql.org/docs/current/sql-altertable.html",
    danger=examples.COLLATION,
    safe=examples.COLLATION_SAFE,
)
HELD_MEANWHILE = FindingType(
    "deploy.M035",
    "warning",
    "{long} takes as long as the table is large, and {verb} earlier in the same transaction keeps {table} "
    "locked meanwhile.",
    "Move one of the two into a migration of its own.",
    why="A lock is held until its transaction ends, however short the statement was that took it.",
    source="https://www.postgresql.org/docs/current/explicit-locking.html",
)
INDEX_DROP_BLOCKS = FindingType(
    "deploy.M036",
    "warning",
    "DROP INDEX {name} takes ACCESS EXCLUSIVE on its table: it queues behind every running query, and all "
    "others queue behind it.",
    "Drop it CONCURRENTLY, alone in a migration:\n{code}",
    why="The drop itself is short; waiting for the lock is what stops the traffic.",
    lock="ACCESS EXCLUSIVE on the table, briefly; with CONCURRENTLY none that stops reads or writes.",
    source="https://www.postgresql.org/docs/current/sql-dropindex.html",
    danger=data_examples.DROP_INDEX,
    safe=data_examples.DROP_INDEX_SAFE,
)
