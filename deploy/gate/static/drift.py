"""Models that changed without a migration: the new code would need what nothing brings."""

from __future__ import annotations

from collections.abc import Collection

from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding, Level

from ..findings import MODELS_CHANGED
from ..graph.offline import collect
from ..graph.plan import full_plan, is_own, one_line, state_of
from ..graph.project_findings import MODELS_NOT_COMPARED


class _NoQuestions(NonInteractiveMigrationQuestioner):
    """Answers that let the autodetector go on; the operations are only looked at, never written."""

    def ask_not_null_addition(self, *_: str) -> None:
        return None

    def ask_not_null_alteration(self, *_: str) -> None:
        return None


def model_changes(loader: MigrationLoader, alias: str, *, unknown: Collection[str] = ()) -> list[Finding]:
    """A finding per app whose models differ from its migrations, but for the apps in `unknown`.

    An error where the difference reaches the database (the new code would miss a table or column), a warning
    where it is only known to Python (choices, help texts).
    """
    state = state_of(loader, full_plan(loader), [])  # what does not fit has its finding already
    try:
        detector = MigrationAutodetector(
            state, ProjectState.from_apps(apps), _NoQuestions(specified_apps=set(), dry_run=True)
        )
        changes = detector.changes(graph=loader.graph)
    except Exception as error:  # noqa: BLE001 – a project's own fields may raise anything; it is reported
        return [MODELS_NOT_COMPARED(problem=f"{type(error).__name__}: {one_line(error)}")]
    found: list[Finding] = []
    for app_label, migrations in sorted(changes.items()):
        if app_label in unknown:
            continue
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
