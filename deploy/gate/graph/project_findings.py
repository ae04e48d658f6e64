"""The findings of projects in trouble: what stands in the way of judging their migrations."""

from __future__ import annotations

from deploy.reporting.findings import FindingType

UNREADABLE = FindingType(
    "deploy.M100",
    "error",
    "{file} cannot be imported ({problem}): migrate stops there, and what it does was not judged.",
    "Let the migration hold what it needs: apps.get_model('app', 'Model') instead of an imported model, a "
    "copy of a constant or function that may go, and no package that is no longer installed.",
    why="A migration outlives the code around it: it runs on every new database for as long as it exists.",
    depends="Nothing else: the rest of the project is judged as if this migration did nothing.",
)
STATE_FAILS = FindingType(
    "deploy.M101",
    "error",
    "{operation} does not fit the models as the migrations before it leave them ({problem}): migrate stops "
    "there, and it was not judged.",
    "python manage.py migrate --plan   # then correct the names in the operation, or its migration's "
    "dependencies",
    why="Django works the models out from the operations of all migrations before it runs one of them.",
)
IGNORED_FOLDER = FindingType(
    "deploy.M102",
    "warning",
    "{folder} holds migrations but no __init__.py: Django takes {app} for an app without migrations.",
    "touch {folder}/__init__.py",
    why="A folder without __init__.py is a namespace package, which Django's loader passes over in silence.",
    source="https://docs.djangoproject.com/en/stable/topics/migrations/#workflow",
)
ROUTERS = FindingType(
    "deploy.M103",
    "error",
    "DATABASE_ROUTERS cannot be loaded: {problem}",
    "Correct DATABASE_ROUTERS in the settings: it says which tables belong to which database.",
)
MODEL_FAILS = FindingType(
    "deploy.M104",
    "error",
    "The model {model} cannot be built from its migrations ({problem}): it was not judged.",
    "Add the missing migration to the dependencies of the one that names it, or correct the name.",
)
HALF_SQUASHED = FindingType(
    "deploy.M106",
    "error",
    "Of the migrations that it replaces, {applied} are applied and {missing} are neither applied nor there: "
    "Django leaves it out, with all that it makes.",
    "Apply the missing ones from the last release that has them, with its own migrate, then deploy this.",
    why="A squashed migration counts as applied when all that it replaces is, and can run when none is.",
    source="https://docs.djangoproject.com/en/stable/topics/migrations/#squashing-migrations",
)
MODELS_NOT_COMPARED = FindingType(
    "deploy.M105",
    "warning",
    "The models cannot be compared with their migrations: {problem}",
    "python manage.py makemigrations --check --dry-run",
)
