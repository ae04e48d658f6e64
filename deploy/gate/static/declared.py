"""Phases as migrations declare them (`@phase("contract")`), to be held against what the gate infers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from django.db.migrations.state import ProjectState

from deploy.reporting.findings import Finding, FindingType

from .. import python_examples
from ..declarations import phases_of
from ..graph.offline import Collected
from ..graph.plan import MigrationKey, place
from .catalog import Catalog

Phase = Literal["expand", "contract"]

UNUSABLE_PHASE = FindingType(
    "deploy.M083",
    "error",
    "The phase of the migration cannot be told from what it declares: {written}.",
    'from deploy.gate import phase\n\n\n@phase("contract")   # or "expand", which need not be written\n'
    "class Migration(migrations.Migration):",
    danger=python_examples.UNUSABLE_PHASE,
    safe=python_examples.USABLE_PHASE,
)
NOT_EXPAND = FindingType(
    "deploy.M084",
    "error",
    "It is declared to run before the switch, and cannot: {problem}.",
    'Declare it @phase("contract"), and predeploy leaves it for postdeploy; or make the change in a way that '
    "the deployed code survives.",
    why="Old and new containers run side by side during a switch, and the old ones are the way back.",
    depends="The models of the deployed code; not on data.",
    danger=python_examples.NOT_EXPAND,
    safe=python_examples.USABLE_PHASE,
)
NOT_CONTRACT = FindingType(
    "deploy.M085",
    "error",
    "It is declared to run after the switch, and the new code needs it before: {new}.",
    'Take @phase("contract") out.',
    why="New containers start and serve before postdeploy runs.",
    depends="The models of the new code; not on data.",
    danger=python_examples.NOT_CONTRACT,
    safe=python_examples.EXPAND,
)


def declared_phases(
    collected: Sequence[Collected], old_state: ProjectState, old: Catalog
) -> tuple[dict[MigrationKey, Phase], list[Finding]]:
    """What the migrations declare, and deploy.M083 for declarations that say nothing.

    "contract" says something only where there is code to wait for: on an empty database, and of an app that
    the deployed code does not have, all runs at once.
    """
    declared: dict[MigrationKey, Phase] = {}
    findings: list[Finding] = []
    deployed_apps = {app_label for app_label, _ in old_state.models}
    for one in collected:
        written = phases_of(one.migration)
        if not written:
            continue
        names = {declaration.finding for declaration in written if isinstance(declaration.finding, str)}
        if len(written) > 1 or written[0].surplus or not names <= {"expand", "contract"} or not names:
            shown = " ".join(f"@phase({_written(each.finding)})" for each in written)
            findings.append(UNUSABLE_PHASE(written=shown, place=place(one.key)))
        elif "expand" in names:
            declared[one.key] = "expand"
        elif one.key[0] in deployed_apps or any(effect.table in old.tables for effect in one.effects):
            declared[one.key] = "contract"
    return declared, findings


def _written(value: object) -> str:
    return "" if isinstance(value, type) else repr(value)
