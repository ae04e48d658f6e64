"""The findings about what a statement destroys, or why it cannot work or be judged."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

from . import data_examples, examples

DESTROYS = FindingType(
    "deploy.M018",
    "error",
    "{verb} destroys data that no reverse migration brings back.",
    "Take it out of the migration; do it by hand, after a verified backup: python manage.py backupdb",
    lock="ACCESS EXCLUSIVE on the table and, with CASCADE, on all that refer to it.",
    source="https://www.postgresql.org/docs/current/sql-truncate.html",
    danger=data_examples.DESTROYS,
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
OPAQUE = FindingType(
    "deploy.M030",
    "warning",
    "What {verb} does to the deployed code cannot be told from its text; it was not judged.",
    "Rehearse it on a restored copy: python manage.py migrategate rehearse --scratch NAME",
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
