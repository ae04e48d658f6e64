"""Run exactly the given migrations, or take them back, without stopping the traffic and without half
states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from ..graph import plan
from ..graph.plan import MigrationKey, place
from ..run_findings import (
    NOT_REVERSIBLE,
    OUT_OF_ORDER,
    STILL_NEEDED,
    UNKNOWN_MIGRATION,
)
from .attempts import Attempts
from .blockers import Blocker
from .lookout import Lookout
from .pieces import Interrupted, apply_in_pieces, forget_finished, take_back_in_pieces
from .session import Applier, applier


def apply(
    conf: DeployConf,
    *,
    alias: str,
    migrations: Sequence[MigrationKey],
    guard: Callable[[], None],
    step: Step,
    interrupted: Interrupted = "",
) -> list[MigrationKey]:
    """Run `migrations`, in plan order, those already applied left out; returns those that ran.

    One process at a time (session advisory lock). Before a migration, and before each of its statements,
    long transactions on the tables that it will lock are waited for (see `lookout`). Every statement has a
    lock_timeout; a migration that gets no lock is rolled back and tried again, with jitter, until
    DEPLOY['APPLY_TIMEOUT_SECONDS'] have passed.
    Each atomic migration and its record are one transaction, so a kill at any moment leaves all or nothing
    of it; one that is not atomic goes on where it was interrupted (see `pieces`, also for `interrupted`).
    `guard` is called before each attempt.

    Raises:
        Refusal: deploy.M031, M050 to M055, M057, M058, M062, M063; what ran before stays applied, and the
            next run skips it.
    """
    plan.require_supported(alias)
    if not migrations:
        return []
    with applier(conf, alias, lookout=_lookout(conf, step)) as session:
        try:
            executor = _executor(alias)
            wanted = _in_order(executor, migrations)
            todo = [key for key in wanted if key not in executor.loader.applied_migrations]
            if todo:
                _require_parents(executor, todo)
                _run(executor, todo, session, guard, step, interrupted)
            executor.check_replacements()
            forget_finished(executor)
        finally:  # a refused run has waited too
            _facts(step, session)
        return todo


def reverse(
    conf: DeployConf,
    *,
    alias: str,
    migrations: Sequence[MigrationKey],
    guard: Callable[[], None],
    step: Step,
) -> list[MigrationKey]:
    """Take back `migrations`, last one first, those not applied left out; returns those that were taken back.

    Raises:
        Refusal: deploy.M054 before anything is changed when one of them has no way back; M056 when a
        migration
            that stays depends on one of them.
    """
    plan.require_supported(alias)
    if not migrations:
        return []
    with applier(conf, alias, lookout=_lookout(conf, step)) as session:
        executor = _executor(alias)
        wanted = _in_order(executor, migrations)
        todo = [key for key in reversed(wanted) if key in executor.loader.applied_migrations]
        _require_reversible(executor, todo)
        states = _states_before(executor, todo)
        attempts = Attempts(session, guard, step)
        for done, key in enumerate(todo):
            migration = executor.loader.graph.nodes[key]
            step.progress(done, len(todo), unit="migrations", note=place(key))
            act = executor.unapply_migration
            if not migration.atomic:
                act = partial(take_back_in_pieces, executor)
            attempts.run(key, migration, states[key], act, forwards=False)
        if todo:
            _signal_after(alias, plan.state_of(_executor(alias).loader, plan.applied(alias)))
        _facts(step, session)
        return todo


def _run(
    executor: MigrationExecutor,
    todo: list[MigrationKey],
    session: Applier,
    guard: Callable[[], None],
    step: Step,
    interrupted: Interrupted,
) -> None:
    alias = executor.connection.alias
    executor.recorder.ensure_schema()
    state = plan.state_of(executor.loader, executor.loader.applied_migrations)
    pairs = [(executor.loader.graph.nodes[key], False) for key in todo]
    emit_pre_migrate_signal(0, False, alias, apps=state.apps, plan=pairs)  # noqa: FBT003 – Django's signature
    attempts = Attempts(session, guard, step)
    for done, key in enumerate(todo):
        step.progress(done, len(todo), unit="migrations", note=place(key))
        migration = executor.loader.graph.nodes[key]
        act = executor.apply_migration
        if not migration.atomic:
            act = partial(apply_in_pieces, executor, interrupted=interrupted)
        state = attempts.run(key, migration, state, act)
    step.progress(len(todo), len(todo), unit="migrations")
    _signal_after(alias, state, pairs)


def _executor(alias: str) -> MigrationExecutor:
    loader = plan.load(alias)
    executor = MigrationExecutor(connections[alias])
    executor.loader = loader
    return executor


def _in_order(executor: MigrationExecutor, migrations: Sequence[MigrationKey]) -> list[MigrationKey]:
    unknown = sorted(set(migrations) - set(executor.loader.graph.nodes))
    if unknown:
        raise Refusal(*(UNKNOWN_MIGRATION(name=place(key), place=place(key)) for key in unknown), exit_code=1)
    return [key for key in plan.full_plan(executor.loader) if key in set(migrations)]


def _require_parents(executor: MigrationExecutor, todo: list[MigrationKey]) -> None:
    there = set(executor.loader.applied_migrations)
    for key in todo:
        missing = sorted({n.key for n in executor.loader.graph.node_map[key].parents} - there)
        if missing:
            names = ", ".join(place(one) for one in missing)
            raise Refusal(OUT_OF_ORDER(needed=names, place=place(key)), exit_code=1)
        there.add(key)


def _require_reversible(executor: MigrationExecutor, todo: list[MigrationKey]) -> None:
    staying = set(executor.loader.applied_migrations) - set(todo)
    for key in todo:
        dependents = sorted({n.key for n in executor.loader.graph.node_map[key].children} & staying)
        if dependents:
            names = ", ".join(place(one) for one in dependents)
            raise Refusal(STILL_NEEDED(dependents=names, place=place(key)), exit_code=1)
        for operation in executor.loader.graph.nodes[key].operations:
            if not operation.reversible:
                problem = f"{type(operation).__name__} has no reverse"
                raise Refusal(NOT_REVERSIBLE(problem=problem, place=place(key)), exit_code=1)


def _states_before(executor: MigrationExecutor, todo: list[MigrationKey]) -> dict[MigrationKey, ProjectState]:
    """The state in front of each migration to take back, of applied migrations only."""
    states: dict[MigrationKey, ProjectState] = {}
    state = plan.state_of(executor.loader, ())
    for key in plan.full_plan(executor.loader):
        migration = executor.loader.graph.nodes[key]
        if key in todo:
            states[key] = state.clone()
        if key in executor.loader.applied_migrations:
            migration.mutate_state(state, preserve=False)
    return states


def _signal_after(alias: str, state: ProjectState, pairs: Sequence[Any] = ()) -> None:
    """What `migrate` does at its end: content types, permissions and whatever the project hangs on it."""
    state.clear_delayed_apps_cache()
    emit_post_migrate_signal(0, False, alias, apps=state.apps, plan=list(pairs))  # noqa: FBT003 – Django's signature


def _lookout(conf: DeployConf, step: Step) -> Lookout:
    """One that says on the step for whom it waits."""

    def tell(blocker: Blocker, seconds: float) -> None:
        note = f"{blocker.table} is in use by {blocker}"
        step.progress(seconds, conf.apply_timeout_seconds, unit="seconds", note=note)

    return Lookout(conf.statement_lock_timeout_seconds, tell)


def _facts(step: Step, session: Applier) -> None:
    if session.leftovers:
        step.facts["leftover_indexes"] = session.leftovers
    if session.lookout.met:
        step.facts["waited_for"] = list(session.lookout.met.values())
        step.facts["waited_seconds"] = round(session.lookout.waited_seconds, 3)
