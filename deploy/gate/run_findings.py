"""The findings of what ran: rehearsal, apply, reverse and wait."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

# --- rehearsal ----------------------------------------------------------------------------------------------
FAILS_ON_COPY = FindingType(
    "deploy.M040",
    "error",
    "It fails on the copy of the data: {problem}",
    "Correct the migration, or the data that it meets, and rehearse again.",
)
OLD_CODE_BROKEN = FindingType(
    "deploy.M041",
    "error",
    "After the expand migrations the deployed code can no longer {statement} {model}: {problem}",
    "Make the change in a way that both releases survive: python manage.py migrategate check",
)
NEW_CODE_BROKEN = FindingType(
    "deploy.M042",
    "error",
    "Before the contract migrations the new code cannot {statement} {model}: {problem}",
    "Let the expand migrations bring what it needs: python manage.py migrategate check",
)
LOCK_TOO_LONG = FindingType(
    "deploy.M043",
    "error",
    "It held {lock} on {table} ({size}) for {seconds:.1f} s on the copy: {estimate}; "
    "the limit is {limit:g} s.",
    "Use the form that does not hold it: python manage.py migrategate check. "
    "Or raise DEPLOY['STATEMENT_LOCK_TIMEOUT_SECONDS'].",
)
REWRITTEN = FindingType(
    "deploy.M044",
    "warning",
    "It rewrote {table} ({size}) under ACCESS EXCLUSIVE: {estimate}.",
    "On a table that grows, add a new column and fill it in batches instead.",
)
REVERSE_DIFFERS = FindingType(
    "deploy.M045",
    "warning",
    "Reversing the migrations does not bring the schema back: {problem}",
    "Going back over them needs the backup; correct their reverse operations if it should not.",
)
NOT_EXERCISED = FindingType(
    "deploy.M046",
    "info",
    "{model} could not be exercised before the migrations either ({statement}: "
    "{problem}); nothing is known of it.",
    "Put a row into the table, so that the exercise has one to copy.",
)

NEW_CODE_FAILS = FindingType(
    "deploy.M047",
    "error",
    "On the migrated copy the new code cannot {statement} {model}, {values}: {problem}",
    "Compare the model with its migrations (python manage.py makemigrations --check); if only the values are "
    "odd, put a row into the table, so that the exercise has one to copy.",
    why="The statement is the one that Django makes from the model, on the schema that its migrations left.",
)

# --- apply, reverse, wait -----------------------------------------------------------------------------------
APPLIER_BUSY = FindingType(
    "deploy.M050",
    "error",
    "Another process has been applying migrations for more than {seconds:g} s: {holder}.",
    "Wait for it, or end it: SELECT pg_terminate_backend({pid});",
)
LOCK_NOT_GIVEN = FindingType(
    "deploy.M051",
    "error",
    "It got no lock within {limit:g} s in {attempts} attempts of {seconds:.0f} s "
    "together; blocked by {blocker}.",
    "End the blocker or choose a quieter time, then run it again: python manage.py migrategate apply",
)
APPLY_FAILED = FindingType(
    "deploy.M052",
    "error",
    "It failed and {rolled_back}: {problem}",
    "Correct it and run again: python manage.py migrategate rehearse --scratch NAME",
)
UNKNOWN_MIGRATION = FindingType(
    "deploy.M053",
    "error",
    "This image has no migration {name}.",
    "Run the command from the image of the release that has it.",
)
NOT_REVERSIBLE = FindingType(
    "deploy.M054",
    "error",
    "It cannot be reversed: {problem}",
    "Restore the backup that was taken before it: python manage.py restoredb",
)
OUT_OF_ORDER = FindingType(
    "deploy.M055",
    "error",
    "It needs {needed} first, which is neither applied nor among those to run.",
    "python manage.py migrategate check",
)
STILL_NEEDED = FindingType(
    "deploy.M056",
    "error",
    "It cannot be reversed while {dependents} is applied.",
    "Reverse {dependents} first.",
)
HALF_DATA = FindingType(
    "deploy.M057",
    "error",
    "Operation {number} of {count} ({operation}) changes data and may be half done: {why}; {done}.",
    "Look at the data it changes. If it may run once more: python manage.py migrategate apply "
    "--phase all --interrupted again. If it is complete: python manage.py migrategate apply "
    "--phase all --interrupted done",
    why="A migration with atomic = False keeps what it did before it was killed, and data does not show "
    "whether all of it is there.",
)
HALF_SCHEMA = FindingType(
    "deploy.M058",
    "error",
    "Operation {number} of {count} ({operation}) meets a schema that is neither the one before it nor the "
    "one after it: {problem}; {done}.",
    "python manage.py sqlmigrate {app} {name}   # undo by hand what is there of this operation, "
    "then: python manage.py migrategate apply",
    why="A migration with atomic = False keeps what it did before it was killed or failed.",
)
NOT_APPLIED_YET = FindingType(
    "deploy.M060",
    "error",
    "After {seconds:g} s these migrations of this image are still not applied: {names}.",
    "python manage.py migrategate apply",
)
UNREACHABLE = FindingType(
    "deploy.M061",
    "error",
    "Database {alias} does not answer: {problem}",
    "Check the address and that the server runs. Without a database:\n"
    "python manage.py migrategate check --since origin/main   # what this branch adds\n"
    "python manage.py migrategate check --all   # every migration, each as a release of its own",
)
IN_THE_WAY = FindingType(
    "deploy.M062",
    "error",
    "It waited {seconds:.0f} s to lock {table}, which is in use; it asked for no lock meanwhile, so nobody "
    "waited for it. In the way: {blockers}.",
    "Wait until they are done, or end them:\n{remedy}\nThen run it again: python manage.py migrategate apply",
    why="A statement that waits for its lock stops every later reader and writer of the table.",
)
HELD_TOO_LONG = FindingType(
    "deploy.M063",
    "error",
    "A statement that stops the writers of {tables} ran for more than {limit:g} s and was cancelled; the "
    "migration {rolled_back}.",
    "Use the form that does not hold the lock: python manage.py migrategate check. Or allow it longer, at a "
    "quiet time: DEPLOY['STATEMENT_TIMEOUT_SECONDS'] (0: as long as it likes).",
    why="The table was larger than thought, or the disk slower; the traffic waited meanwhile.",
)
POOLED = FindingType(
    "deploy.M064",
    "error",
    "A pooler lends this connection another server session for each transaction ({seen}): the lock that lets "
    "one process migrate at a time and the lock_timeout would not hold there.",
    "Give `migrategate apply` the address of PostgreSQL itself, past the pooler (the site may keep it): "
    "HOST and PORT of DATABASES in the job's settings; or let the pooler give this user whole sessions "
    "(PgBouncer: pool_mode=session).",
    why="Behind PgBouncer in transaction mode, what a session sets or locks stays with a server session that "
    "another client gets next.",
)
HALF_BACK = FindingType(
    "deploy.M065",
    "error",
    "Operation {number} of {count} ({operation}) was interrupted while it was taken back, and data does not "
    "show how far it came.",
    "Restore the backup that was taken before it: python manage.py restoredb",
    why="A migration with atomic = False keeps what was taken back before it was killed.",
)
CONTRACT_LEFT = FindingType(
    "deploy.M066",
    "info",
    "Contract migrations that are left for after the switch to the new code: {count}.",
    "When no container runs the old code any more: python manage.py migrategate apply --phase contract",
)
