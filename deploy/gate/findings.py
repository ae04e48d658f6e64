"""The findings of the static check; those of what ran are in `run_findings`."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

from . import data_examples, examples

# --- compatibility of the code on both sides of the switch ---------------------------------------------
SPLIT = FindingType(
    "deploy.M001",
    "error",
    "The deployed code breaks after it ({old}), and the new code cannot live without it ({new}).",
    "Split it, so that each step leaves both releases working:\n{code}",
    why="Old and new containers run side by side during a switch, and the old ones are the way back.",
    depends="The models of the deployed code (from the ledger, or the applied migrations) and of this "
    "image, not on data.",
    danger=examples.SPLIT,
    safe=examples.SPLIT_SAFE,
)
CONTRACT = FindingType(
    "deploy.M002",
    "warning",
    "Contract phase, to run in postdeploy when no old container is left: {old}.",
    "Declare it, and predeploy leaves it for postdeploy (with plain migrate, ship it one release later):\n"
    "from deploy.gate import phase\n\n\n"
    '@phase("contract")\n'
    "class Migration(migrations.Migration):",
    why="The deployed code breaks after it, and old containers run until the switch is over.",
    depends="The models of the deployed code; not on data.",
    danger=examples.CONTRACT,
    safe=examples.CONTRACT_SAFE,
)
ORDER = FindingType(
    "deploy.M003",
    "error",
    "The new code needs it before the switch ({new}), but it depends on {blocker}, "
    "which must wait until after.",
    "Let {blocker} come after it: move {blocker} to the end of the app's migrations, "
    "or into the next release.",
    why="A contract migration is postponed, and with it everything that depends on it.",
    depends="The dependencies of the migrations.",
    danger=examples.ORDER,
    safe=examples.ORDER_SAFE,
)
ORPHAN_REFERENCE = FindingType(
    "deploy.M004",
    "warning",
    "Until it runs in postdeploy, {table}.{column} still references {target}: the new code's DELETE of a "
    "referenced {target} row fails.",
    "Drop the foreign key's constraint first, in a migration before this one:\n{code}",
    depends="Whether the new code deletes rows of the referenced table before postdeploy has run.",
    source="https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK",
)
NULLS_APPEAR = FindingType(
    "deploy.M005",
    "info",
    "{table}.{column} may be NULL from now on, which the deployed code does not expect to read.",
    "Write no NULL until the old containers are gone, or release code that tolerates NULL first.",
    depends="Whether the new code writes NULL before the old containers are gone.",
    danger=examples.NULLS_APPEAR,
)
BROKEN_GRAPH = FindingType(
    "deploy.M006",
    "error",
    "Django cannot build the migration graph: {problem}",
    "python manage.py showmigrations --plan",
)
HISTORY = FindingType(
    "deploy.M007",
    "error",
    "The database's history contradicts the graph: {problem}",
    "python manage.py showmigrations --plan   # then make the dependency true, or fake the missing one",
)
TWO_LEAVES = FindingType(
    "deploy.M008",
    "error",
    "App {app} has more than one last migration: {names}.",
    "python manage.py makemigrations --merge {app}",
)
MODELS_CHANGED = FindingType(
    "deploy.M009",
    "error",
    "The models of {app} have changes without a migration: {changes}.",
    "python manage.py makemigrations {app}",
)

# --- locks -----------------------------------------------------------------------------------------------
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
DESTROYS = FindingType(
    "deploy.M018",
    "error",
    "{verb} destroys data that no reverse migration brings back.",
    "Take it out of the migration; do it by hand, after a verified backup: python manage.py backupdb",
    lock="ACCESS EXCLUSIVE on the table and, with CASCADE, on all that refer to it.",
    source="https://www.postgresql.org/docs/current/sql-truncate.html",
    danger=data_examples.DESTROYS,
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
CONCURRENTLY_IN_TRANSACTION = FindingType(
    "deploy.M020",
    "error",
    "{verb} cannot run in a transaction, and {why}.",
    "Put it alone into its RunSQL, in a migration that says:\n"
    "class Migration(migrations.Migration):\n    atomic = False",
    depends="atomic of the migration, and what shares its RunSQL: statements that are sent together are "
    "one transaction.",
    source="https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
    danger=examples.CONCURRENTLY,
    safe=examples.INDEX_SAFE,
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
NO_REVERSE = FindingType(
    "deploy.M022",
    "warning",
    "{operation} has no reverse: going back over this migration needs the backup.",
    "{code}",
    depends="Nothing: Django cannot go back over the operation.",
    source="https://docs.djangoproject.com/en/stable/ref/migration-operations/#runpython",
    danger=data_examples.NO_REVERSE,
    safe=data_examples.BATCHED,
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
TRANSACTION_CONTROL = FindingType(
    "deploy.M024",
    "error",
    "RunSQL contains {verb}, which cuts the migration's own transaction in two.",
    "Take {verb} out; set atomic = False on the migration if it must not be one transaction.",
    depends="Nothing: what ran before COMMIT stays when the rest fails, and Django does not know.",
    source="https://www.postgresql.org/docs/current/sql-commit.html",
    danger=data_examples.COMMIT,
)
OBJECT_GONE = FindingType(
    "deploy.M025",
    "warning",
    "{verb}: code that still uses it fails from then on, and the models do not show who does.",
    "Retire it one release after the last code that uses it.",
    depends="Who uses it: models do not say.",
    danger=data_examples.GONE,
)
NOT_JUDGED = FindingType(
    "deploy.M026",
    "warning",
    "The SQL of {operation} cannot be made without running it ({problem}); it was not judged.",
    "Rehearse it on a restored copy: python manage.py migrategate rehearse --scratch NAME",
)
JSON_COLUMN = FindingType(
    "deploy.M027",
    "warning",
    "{table}.{column} has type json, which has no equality operator: SELECT DISTINCT "
    "of the old code fails on it.",
    "Use jsonb: models.JSONField()",
    depends="Whether a query of the model says DISTINCT.",
    source="https://www.postgresql.org/docs/current/datatype-json.html",
    danger=examples.JSON,
    safe=examples.JSON_SAFE,
)
DEPLOYED_UNKNOWN = FindingType(
    "deploy.M028",
    "info",
    "The deployed release has {count} migrations that this image lacks ({names}): it "
    "is newer, or they were squashed.",
    "python manage.py releases list",
)

NEVER_WORKS = FindingType(
    "deploy.M029",
    "error",
    "The new code breaks even when all migrations have run: {new}.",
    "Give the column a database default or make it nullable before the model forgets it:\n"
    "migrations.RunSQL('ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL'),",
    why="A state-only removal leaves the column; its NOT NULL then refuses the new code's INSERT.",
    depends="Nothing but the states of the models.",
    danger=examples.FORGOTTEN,
    safe=examples.FORGOTTEN_SAFE,
)

OPAQUE = FindingType(
    "deploy.M030",
    "warning",
    "What {verb} does to the deployed code cannot be told from its text; it was not judged.",
    "Rehearse it on a restored copy: python manage.py migrategate rehearse --scratch NAME",
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

STAYS_UNIQUE = FindingType(
    "deploy.M032",
    "info",
    "{model} stays unique by {columns} until postdeploy: the database refuses duplicates that the new "
    "code may write.",
    "Write duplicates from the release after this one on; nothing to do if the new code writes none.",
    why="ON CONFLICT needs a unique index that matches it, in old containers too.",
)

UNREADABLE = FindingType(
    "deploy.M033",
    "error",
    "PostgreSQL's grammar refuses the SQL that begins with {verb}: {problem}.",
    "Correct the statement; python manage.py sqlmigrate shows it as it is sent.",
    why="A script with one mistake in its grammar fails as a whole, before its first statement.",
    source="https://www.postgresql.org/docs/current/sql-commands.html",
    danger=data_examples.MISSPELT,
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
NAME_TOO_LONG = FindingType(
    "deploy.M037",
    "warning",
    "The name {name} has {bytes} bytes; PostgreSQL cuts it off after {most}.",
    "Shorten it: two names that begin alike would become one.",
    source="https://www.postgresql.org/docs/current/sql-syntax-lexical.html",
    danger=data_examples.LONG_NAME,
    safe=data_examples.SHORT_NAME,
)
CORRUPTS = FindingType(
    "deploy.M038",
    "error",
    "{verb} can leave a corrupt index on PostgreSQL {version}, the server that is in use.",
    "Update the server to 14.4 or newer first.",
    source="https://www.postgresql.org/docs/release/14.4/",
)
NEEDS_NEWER = FindingType(
    "deploy.M039",
    "error",
    "{what} needs PostgreSQL {needed}; the server has {version}.",
    "Use the form that the server knows, or update it first.",
    source="https://www.postgresql.org/docs/18/release-18.html",
)
TRUSTED = FindingType(
    "deploy.M070",
    "info",
    "It is declared to be an expand migration, though the deployed code may break after it: {old}.",
    "Rehearse it on a restored copy, which tries it with real rows: python manage.py migrategate rehearse "
    "--scratch NAME",
    why="Whether the old code writes what a new constraint refuses, its models do not say; the author does.",
)
LOST_AT_THE_END = FindingType(
    "deploy.M073",
    "error",
    "It runs in postdeploy, and the new code breaks after it: {new}.",
    "Let the models give up what it takes away: python manage.py makemigrations. Or take the statement out.",
    why="What no old container needs any more the new ones may still need, as their models say.",
)
REACHES_OUTSIDE = FindingType(
    "deploy.M122",
    "error",
    "{verb} reaches outside the database, to the server and all on it: no rehearsal runs it.",
    "Take it out of the migration, and let who runs the server do it, once for all releases:\n"
    'psql -d postgres -c "…"',
    why="The copy that a rehearsal works on stands on a server with other databases, the live one often "
    "among them: there it would be done for real.",
    depends="On the statements, DO blocks included; what functions do, or what blocks put together at run "
    "time, is not known.",
    source="https://www.postgresql.org/docs/current/manage-ag-overview.html",
)
