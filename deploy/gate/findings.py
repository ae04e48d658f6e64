"""The findings about the migration graph, and about the code on both sides of the switch.

Those of locks are in `findings_of_locks`, of single statements in `findings_of_statements`, of what ran in
`run_findings`.
"""

from __future__ import annotations

from deploy.reporting.findings import FindingType

from . import examples

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
STAYS_UNIQUE = FindingType(
    "deploy.M032",
    "info",
    "{model} stays unique by {columns} until postdeploy: the database refuses duplicates that the new "
    "code may write.",
    "Write duplicates from the release after this one on; nothing to do if the new code writes none.",
    why="ON CONFLICT needs a unique index that matches it, in old containers too.",
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
