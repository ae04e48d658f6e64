"""The pending migrations run on a restored copy, with the deployed code's models beside them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from django.db import connections, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding
from deploy.reporting.report import Step

from . import plan
from .acknowledgements import settle
from .errors import database_text
from .exercise import Failures, exercise, exercised_models, newly_broken, not_exercised, take_samples
from .judgement import GateReport
from .observe import Observed, Observer
from .pieces import apply_in_pieces
from .plan import MigrationKey, place
from .run_findings import (
    FAILS_ON_COPY,
    LOCK_TOO_LONG,
    NEW_CODE_BROKEN,
    NEW_CODE_FAILS,
    OLD_CODE_BROKEN,
    REVERSE_DIFFERS,
    REWRITTEN,
)
from .schema import difference, schema_rows
from .standin import standing_in

Verdict = Literal["switch", "reverse", "restore"]


@dataclass
class Rehearsal:
    """What the rehearsal showed.

    `verdict` is the way back after the switch: "switch" (the old code works on the new schema), "reverse"
    (the
    expand migrations can be undone first) or "restore" (only the backup leads back). `verdict_after_contract`
    is the same once postdeploy has run the contract migrations.
    """

    verdict: Verdict = "switch"
    verdict_after_contract: Verdict = "switch"
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    statements: dict[str, list[Observed]] = field(default_factory=dict)
    models: int = 0
    reversed_cleanly: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for the report and the ledger."""
        return {
            "verdict": self.verdict,
            "verdict_after_contract": self.verdict_after_contract,
            "models_exercised": self.models,
            "reversed_cleanly": self.reversed_cleanly,
            "migrations": {
                name: {
                    "seconds": seconds,
                    "statements": [
                        {
                            "statement": one.statement,
                            "seconds": one.seconds,
                            "locks": one.locks,
                            "rewritten": list(one.rewritten),
                        }
                        for one in self.statements.get(name, ())
                    ],
                }
                for name, seconds in self.seconds.items()
            },
        }


def rehearse(
    conf: DeployConf,
    *,
    alias: str,
    gate: GateReport,
    deployed: frozenset[MigrationKey] | None,
    step: Step,
) -> Rehearsal:
    """Run the migrations of `gate` on the scratch database `alias` and say what they did.

    In order: the deployed code's models on the schema as it is (the baseline), the expand migrations, the
    deployed code's models again, the new code's models, the contract migrations, and everything back. Only
    what is newly broken is reported. While it runs, `conf.database` leads to the scratch database.
    """
    plan.require_supported(alias)
    with standing_in(conf.database, alias) as name:
        rehearsing = _Rehearsing(conf, name, step)
        result = rehearsing.run(gate, deployed)
    result.findings = settle(
        result.findings, rehearsing.migrations, today=datetime.now(UTC).date(), observed=True
    )
    step.extend(finding for finding in result.findings if finding not in step.findings)
    return result


class _Rehearsing:
    def __init__(self, conf: DeployConf, alias: str, step: Step) -> None:
        self.conf = conf
        self.alias = alias
        self.step = step
        self.result = Rehearsal()
        self.migrations: dict[MigrationKey, Migration] = {}

    def run(self, gate: GateReport, deployed: frozenset[MigrationKey] | None) -> Rehearsal:
        result = self.result
        loader = plan.load(self.alias)
        executor = MigrationExecutor(connections[self.alias])
        executor.loader = loader
        executor.recorder.ensure_schema()
        self.migrations = {key: loader.graph.nodes[key] for key in gate.pending}
        present = frozenset(loader.applied_migrations)
        before_rows = schema_rows(self.alias)
        old_models = exercised_models(
            plan.state_of(loader, present if deployed is None else deployed), self.alias
        )
        old_samples = take_samples(old_models, self.alias)
        baseline = exercise(old_models, self.alias, old_samples)
        result.models = len(old_models)
        result.findings += not_exercised(baseline)
        ran: list[MigrationKey] = []
        expand = [key for key in gate.expand if key not in present]
        contract = [key for key in gate.contract if key not in present]
        state = self._forwards(executor, expand, plan.state_of(loader, present), ran)
        if state is None:
            result.verdict = result.verdict_after_contract = "restore"
            return result
        broken = newly_broken(baseline, exercise(old_models, self.alias, old_samples))
        result.findings += [OLD_CODE_BROKEN(model=m, statement=s, problem=p, place=m) for m, s, p in broken]
        survived = not broken
        half = self._new_code(executor, present | set(ran) | set(contract))
        contracted = not contract or self._forwards(executor, contract, state, ran) is not None
        whole = self._new_code(executor, present | set(ran)) if contract and contracted else {}
        self._compare_new_code(baseline, half, whole if contract and contracted else None)
        back = self._backwards(executor, ran, present, before_rows)
        expand_reversible = back or all(_is_reversible(executor, key) for key in expand)
        result.verdict = "switch" if survived else "reverse" if expand_reversible else "restore"
        if not contract:
            result.verdict_after_contract = result.verdict
        else:
            loses_data = any(_loses_data(executor, key) for key in contract)
            clean = contracted and back and not loses_data
            result.verdict_after_contract = "reverse" if clean else "restore"
        return result

    def _forwards(
        self,
        executor: MigrationExecutor,
        keys: Sequence[MigrationKey],
        state: ProjectState,
        ran: list[MigrationKey],
    ) -> ProjectState | None:
        """Run `keys` and observe them; None when one fails."""
        for done, key in enumerate(keys):
            self.step.progress(done, len(keys), unit="migrations", note=place(key))
            if not self._observed(executor, key, state):
                return None
            ran.append(key)
        return state

    def _observed(self, executor: MigrationExecutor, key: MigrationKey, state: ProjectState) -> bool:
        connection = connections[self.alias]
        migration = executor.loader.graph.nodes[key]
        observer = Observer(connection)
        connection.ensure_connection()
        observer.begin()
        began = time.monotonic()
        try:
            with connection.execute_wrapper(observer):
                if migration.atomic:
                    with connection.constraint_checks_disabled(), transaction.atomic(using=self.alias):
                        executor.apply_migration(state, migration)
                else:
                    apply_in_pieces(executor, state, migration)
        except Exception as error:  # noqa: BLE001 – whatever a migration raises is what the rehearsal is for
            problem = f"{type(error).__name__}: {database_text(error)}"
            self.result.findings.append(FAILS_ON_COPY(problem=problem, place=place(key)))
            return False
        name = place(key)
        self.result.seconds[name] = round(time.monotonic() - began, 3)
        self.result.statements[name] = observer.statements
        limit = self.conf.statement_lock_timeout_seconds
        for held in observer.finish():
            if held.seconds > limit:
                self.result.findings.append(
                    LOCK_TOO_LONG(
                        lock=held.lock,
                        table=held.table,
                        size=held.size,
                        seconds=held.seconds,
                        limit=limit,
                        place=name,
                    )
                )
        for table, seconds in observer.rewritten.items():
            finding = REWRITTEN(table=table, size=observer.size(table), seconds=seconds, place=name)
            self.result.findings.append(finding)
        return True

    def _new_code(self, executor: MigrationExecutor, brought: AbstractSet[MigrationKey]) -> Failures:
        new_models = exercised_models(plan.state_of(executor.loader, brought), self.alias)
        return exercise(new_models, self.alias, take_samples(new_models, self.alias))

    def _compare_new_code(self, baseline: Failures, half: Failures, whole: Failures | None) -> None:
        """What the new code can't do before the contract migrations, but can after them, must not wait.

        What it can't do at either time is its own fault where no other values could help; where they could,
        it is to be looked at, unless the deployed code could not do it on the old schema either.
        """
        for label, statement, problem in newly_broken({}, half):
            certain = half[label][statement].certain
            if whole is not None and statement not in whole.get(label, {}):
                make = NEW_CODE_BROKEN(model=label, statement=statement, problem=problem, place=label)
            elif certain or statement not in baseline.get(label, {}):
                make = NEW_CODE_FAILS(
                    model=label,
                    statement=statement,
                    problem=problem,
                    values="whatever the values are" if certain else "with the values that could be made",
                    place=label,
                    level="error" if certain else "warning",
                )
            else:
                continue
            self.result.findings.append(make)

    def _backwards(
        self,
        executor: MigrationExecutor,
        ran: Sequence[MigrationKey],
        present: frozenset[MigrationKey],
        before_rows: frozenset[tuple[str, ...]],
    ) -> bool:
        """Undo what ran, and compare the schema with the one before; True when it came back."""
        if not ran or not all(_is_reversible(executor, key) for key in ran):
            return not ran
        known = set(present)
        states: dict[MigrationKey, ProjectState] = {}
        for key in ran:
            states[key] = plan.state_of(executor.loader, known)
            known.add(key)
        for key in reversed(ran):
            migration = executor.loader.graph.nodes[key]
            try:
                executor.unapply_migration(states[key], migration)
            except Exception as error:  # noqa: BLE001 – as above: it is the answer
                problem = f"{type(error).__name__}: {database_text(error)}"
                self.result.findings.append(REVERSE_DIFFERS(problem=problem, place=place(key)))
                self.result.reversed_cleanly = False
                return False
        differs = difference(before_rows, schema_rows(self.alias))
        if differs:
            self.result.findings.append(REVERSE_DIFFERS(problem=differs, place=place(ran[-1])))
        self.result.reversed_cleanly = not differs
        return not differs


def _is_reversible(executor: MigrationExecutor, key: MigrationKey) -> bool:
    return all(operation.reversible for operation in executor.loader.graph.nodes[key].operations)


def _loses_data(executor: MigrationExecutor, key: MigrationKey) -> bool:
    from django.db.migrations import operations

    from .offline import flattened

    losing = (operations.RemoveField, operations.DeleteModel, operations.RunSQL, operations.RunPython)
    return any(isinstance(one, losing) for one in flattened(executor.loader.graph.nodes[key].operations))
