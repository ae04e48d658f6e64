"""The findings of the static check; those of what ran are in `run_findings`."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

# --- compatibility of the code on both sides of the switch ---------------------------------------------
SPLIT = FindingType(
    "deploy.M001",
    "error",
    "The deployed code breaks after it ({old}), and the new code cannot live without it ({new}).",
    "Split it, so that each step leaves both releases working:\n{code}",
    why="Old and new containers run side by side during a switch, and the old ones are the way back.",
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
)
ORDER = FindingType(
    "deploy.M003",
    "error",
    "The new code needs it before the switch ({new}), but it depends on {blocker}, "
    "which must wait until after.",
    "Let {blocker} come after it: move {blocker} to the end of the app's migrations, "
    "or into the next release.",
    why="A contract migration is postponed, and with it everything that depends on it.",
)
ORPHAN_REFERENCE = FindingType(
    "deploy.M004",
    "warning",
    "Until it runs in postdeploy, {table}.{column} still references {target}: the new code's DELETE of a "
    "referenced {target} row fails.",
    "Drop the foreign key's constraint first, in a migration before this one:\n{code}",
)
NULLS_APPEAR = FindingType(
    "deploy.M005",
    "info",
    "{table}.{column} may be NULL from now on, which the deployed code does not expect to read.",
    "Write no NULL until the old containers are gone, or release code that tolerates NULL first.",
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
)
FOREIGN_KEY_SCANS = FindingType(
    "deploy.M011",
    "warning",
    "The foreign key {table}.{column} is validated in place: SHARE ROW EXCLUSIVE on "
    "{table} and {target} during "
    "a scan of {table}.",
    "Add it NOT VALID, and validate it in a migration of its own:\n{code}",
)
CHECK_SCANS = FindingType(
    "deploy.M012",
    "warning",
    "The check {name} is validated in place: ACCESS EXCLUSIVE on {table} during a scan of it.",
    "Add it NOT VALID, and validate it in a migration of its own:\n{code}",
)
NOT_NULL_SCANS = FindingType(
    "deploy.M013",
    "warning",
    "SET NOT NULL scans {table} under ACCESS EXCLUSIVE to prove that {column} has no NULL.",
    "Prove it beforehand with a valid check (the scan is then skipped, PostgreSQL 12 and newer):\n{code}",
)
UNIQUE_BUILDS = FindingType(
    "deploy.M014",
    "warning",
    "The {what} on {table} ({columns}) builds its index under ACCESS EXCLUSIVE.",
    "Build a unique index CONCURRENTLY, then attach it:\n{code}",
)
TYPE_REWRITES = FindingType(
    "deploy.M015",
    "warning",
    "{table}.{column} changes from {old} to {new}: PostgreSQL rewrites {table} under ACCESS EXCLUSIVE.",
    "Add a new column, write both, fill it in batches, then drop the old one:\n{code}",
)
COLUMN_REWRITES = FindingType(
    "deploy.M016",
    "warning",
    "ADD COLUMN {table}.{column} has {what}: PostgreSQL rewrites {table} under ACCESS EXCLUSIVE.",
    "Add it nullable and without that, set the default afterwards, and fill the rows in batches:\n{code}",
)
UNBATCHED = FindingType(
    "deploy.M017",
    "warning",
    "{verb} on {table} in one statement keeps a row lock on every row that it "
    "touches until the migration commits.",
    "Do it in batches, outside of a transaction:\n{code}",
)
DESTROYS = FindingType(
    "deploy.M018",
    "error",
    "{verb} destroys data that no reverse migration brings back.",
    "Take it out of the migration; do it by hand, after a verified backup: python manage.py backupdb",
)
MAINTENANCE = FindingType(
    "deploy.M019",
    "warning",
    "{verb} holds {lock} on {table} for as long as it or its transaction takes.",
    "{hint}",
)
CONCURRENTLY_IN_TRANSACTION = FindingType(
    "deploy.M020",
    "error",
    "{verb} cannot run in a transaction, and {why}.",
    "Put it alone into its RunSQL, in a migration that says:\n"
    "class Migration(migrations.Migration):\n    atomic = False",
)
VALIDATED_TOO_SOON = FindingType(
    "deploy.M021",
    "warning",
    "VALIDATE CONSTRAINT {name} runs in the transaction that added it, which still holds its strong lock on "
    "{table} during the scan.",
    "Move VALIDATE CONSTRAINT into the next migration.",
)
NO_REVERSE = FindingType(
    "deploy.M022",
    "warning",
    "{operation} has no reverse: going back over this migration needs the backup.",
    "{code}",
)
DATA_WITH_DDL = FindingType(
    "deploy.M023",
    "warning",
    "RunPython shares a transaction with schema changes of {table}: their locks stay held while it works.",
    "Move RunPython into a migration of its own.",
)
TRANSACTION_CONTROL = FindingType(
    "deploy.M024",
    "error",
    "RunSQL contains {verb}, which cuts the migration's own transaction in two.",
    "Take {verb} out; set atomic = False on the migration if it must not be one transaction.",
)
OBJECT_GONE = FindingType(
    "deploy.M025",
    "warning",
    "{verb}: code that still uses it fails from then on, and the models do not show who does.",
    "Retire it one release after the last code that uses it.",
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
)
NAME_TOO_LONG = FindingType(
    "deploy.M037",
    "warning",
    "The name {name} has {bytes} bytes; PostgreSQL cuts it off after {most}.",
    "Shorten it: two names that begin alike would become one.",
    source="https://www.postgresql.org/docs/current/sql-syntax-lexical.html",
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
