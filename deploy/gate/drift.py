"""Models that changed without a migration: the new code would need what nothing brings."""

from __future__ import annotations

from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding, Level

from .findings import MODELS_CHANGED
from .offline import collect
from .plan import is_own


class _NoQuestions(NonInteractiveMigrationQuestioner):
    """Answers that let the autodetector go on; the operations are only looked at, never written."""

    def ask_not_null_addition(self, *_: str) -> None:
        return None

    def ask_not_null_alteration(self, *_: str) -> None:
        return None


def model_changes(loader: MigrationLoader, alias: str) -> list[Finding]:
    """A finding per app whose models differ from its migrations.

    An error where the difference reaches the database (the new code would miss a table or column), a warning
    where it is only known to Python (choices, help texts).
    """
    state = loader.project_state()
    detector = MigrationAutodetector(
        state, ProjectState.from_apps(apps), _NoQuestions(specified_apps=set(), dry_run=True)
    )
    found: list[Finding] = []
    for app_label, migrations in sorted(detector.changes(graph=loader.graph).items()):
        names, statements = [], False
        for migration in migrations:
            names += [operation.describe() for operation in migration.operations]
            collected = collect((app_label, migration.name), migration, state, alias)
            statements = statements or bool(collected.statements or collected.unknown)
        shown = "; ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        ours = is_own(app_label)
        level: Level = "error" if statements and ours else "warning"
        found.append(MODELS_CHANGED(app=app_label, changes=shown, place=app_label, level=level))
    return found
