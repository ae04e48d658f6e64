"""What really happens: a case's migrations on a copy of the live database, and both releases' models on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor

from deploy.gate.graph import plan

from . import old_code, world
from .base import ROWS
from .case import Case, Kind
from .locks import Watch
from .old_code import Known


def live_state(alias: str) -> Any:
    """The models of the release that is live."""
    return plan.state_of(plan.load(alias), [("store", name) for name in world.LIVE])


def can_be_undone(case: Case) -> bool:
    """One transaction around it would change nothing: one migration, with a transaction of its own."""
    return len(case.bodies) == 1 and case.bodies[0].atomic and not case.unobserved


def observe(
    alias: str, names: list[str], before: Known, *, undo: bool, only: Kind | None = None
) -> dict[Kind, str]:
    """Run the migrations `names` on `alias`; each kind of danger that was seen, with the evidence in a line.

    With `undo` all of it is rolled back, as only a case that `can_be_undone` can be. With `only` what costs
    more than a look is left out for the other kinds.
    """
    if not undo:
        return _observe(alias, names, before, only)
    with transaction.atomic(using=alias):
        found = _observe(alias, names, before, only)
        transaction.set_rollback(True, using=alias)
    return found


def _observe(alias: str, names: list[str], before: Known, only: Kind | None) -> dict[Kind, str]:
    connection = connections[alias]
    executor = MigrationExecutor(connection)
    state = live_state(alias)
    old = state.clone().apps
    rows_before = _rows(alias, old)
    watch = Watch(connection, world.address(connection.settings_dict["NAME"]), ROWS)
    watch.begin()
    migrations = [executor.loader.graph.nodes["store", name] for name in names]
    try:
        with connection.execute_wrapper(watch), _or_savepoint(alias):
            for migration in migrations:
                state = executor.apply_migration(state, migration)
            if connection.in_atomic_block:
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except Exception as error:  # noqa: BLE001 – whatever a migration raises
        return {"fails": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"}
    watch.finish()
    found: dict[Kind, str] = {}
    if watch.blocked or watch.rewritten:
        found["lock"] = "; ".join(
            [f"{table}: {what}" for table, what in sorted(watch.blocked.items())]
            + [f"{table} is rewritten" for table in sorted(watch.rewritten)]
        )
    if only in (None, "breaks_old"):
        _compare(found, "breaks_old", old_code.run(old, alias, before), before)
    if only in (None, "breaks_new"):
        _compare(found, "breaks_new", old_code.run(state.apps, alias, before, plain=True), before)
    rows_after = _rows(alias, old)
    lost = [table for table, count in rows_before.items() if rows_after.get(table, count) < count]
    if lost or watch.changed >= ROWS:
        found["data"] = f"{watch.changed} rows changed in one transaction" + (
            f"; lost: {lost}" if lost else ""
        )
    if not all(operation.reversible for one in migrations for operation in one.operations):
        found["irreversible"] = "an operation has no reverse"
    return found


def _compare(found: dict[Kind, str], kind: Kind, failures: old_code.Failures, before: Known) -> None:
    if broken := sorted(set(failures) - set(before.failures)):
        found[kind] = f"{broken[0]}: {failures[broken[0]]}" + (f" (+{len(broken) - 1})" if broken[1:] else "")


@contextlib.contextmanager
def _or_savepoint(alias: str) -> Iterator[None]:
    if connections[alias].in_atomic_block:
        with transaction.atomic(using=alias):
            yield
    else:
        yield


def _rows(alias: str, apps: Any) -> dict[str, int]:
    """Live tables that are still there, with the number of their rows."""
    found = {}
    for model in apps.get_models(include_auto_created=True):
        with contextlib.suppress(Exception), transaction.atomic(using=alias):
            found[model._meta.db_table] = model._base_manager.using(alias).count()
    return found
