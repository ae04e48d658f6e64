"""The pending migrations run on a restored copy, with the deployed code's models beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from django.db import connections, models
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Level
from deploy.reporting.report import Step

from ..acknowledgements import settle
from ..findings_of_statements import DESTROYS
from ..graph import plan
from ..graph.plan import MigrationKey, place
from ..graph.standin import standing_in
from ..graph.states import usable
from ..run_findings import NEW_CODE_BROKEN, NEW_CODE_FAILS, NOT_EXERCISED, OLD_CODE_BROKEN
from ..schema import schema_rows
from ..static.affected import affected_tables
from ..static.catalog import bare
from ..static.judgement import GateReport
from .blocking import Judge
from .drilling import When, base_for_drill, exercise_interruptions
from .exercise import (
    Failure,
    Failures,
    exercise,
    exercised_models,
    is_upsert,
    newly_broken,
    not_exercised,
    take_samples,
)
from .grouped import Grouped
from .guard import Guard
from .probes import is_extreme, is_probe
from .production import Production, read_production
from .readings import tables, unbound
from .rehearsal_findings import AFTER_CONTRACT, CODE_NOT_FIRST, OLD_VALUE_REFUSED
from .rehearsal_report import Rehearsal, Verdict
from .thinning import thin_out
from .trial import Trial, is_reversible, loses_data
from .unvalidated import broken_checks, not_valid

__all__ = ["Rehearsal", "Verdict", "rehearse"]

_MOST_NAMED = 3


def rehearse(
    conf: DeployConf,
    *,
    alias: str,
    gate: GateReport,
    deployed: frozenset[MigrationKey] | None,
    step: Step,
    drill: When = "never",
) -> Rehearsal:
    """Run the migrations of `gate` on the scratch database `alias` and say what they did.

    In order: the deployed code's models on the schema as it is (the baseline), the new code's models there
    (may the code go first?), the expand migrations, the deployed code's models again, the new code's, the
    contract migrations, both codes once more, everything back, and everything once more. Only what is newly
    broken is reported. While it runs, `conf.database` leads to the scratch database; before, it is asked
    for sizes and activity.

    With `drill` "always", or "small" and a copy of at most DEPLOY['DRILL_LIMIT_BYTES'], the migrations are
    then cut off at every statement, on copies of the copy (see `interruption`).
    """
    plan.require_supported(alias)
    production = (
        Production(missing="the copy is all that is known")
        if alias == conf.database
        else read_production(conf.database)
    )
    with base_for_drill(conf, alias, gate, drill) as (base, why_not):
        result = _rehearsed(conf, alias, gate, deployed, step, production)
        result.drill = why_not
        if base and result.proof is not None:
            exercise_interruptions(conf, base, gate, result, step)
    step.extend(finding for finding in result.findings if finding not in step.findings)
    return result


def _rehearsed(
    conf: DeployConf,
    alias: str,
    gate: GateReport,
    deployed: frozenset[MigrationKey] | None,
    step: Step,
    production: Production,
) -> Rehearsal:
    with standing_in(conf.database, alias) as name:
        rehearsing = _Rehearsing(conf, name, step, production)
        with connections[name].execute_wrapper(rehearsing.guard):
            result = rehearsing.run(gate, deployed)
    result.findings = settle(
        result.findings, rehearsing.migrations, today=datetime.now(UTC).date(), observed=True
    )
    return result


class _Rehearsing:
    def __init__(self, conf: DeployConf, alias: str, step: Step, production: Production) -> None:
        self.conf = conf
        self.alias = alias
        self.step = step
        self.production = production
        self.result = Rehearsal(production=production.missing or "sizes and activity of the live database")
        self.migrations: dict[MigrationKey, Migration] = {}
        self.guard = Guard(connections[alias])

    def run(self, gate: GateReport, deployed: frozenset[MigrationKey] | None) -> Rehearsal:
        result = self.result
        loader = plan.load(self.alias)
        executor = MigrationExecutor(connections[self.alias])
        executor.loader = loader
        executor.recorder.ensure_schema()
        self.migrations = {key: loader.graph.nodes[key] for key in gate.pending}
        result.role = unbound(connections[self.alias])
        there = {table.name: table for table in tables(connections[self.alias]).values()}
        judge = Judge(self.production, there, self.conf.statement_lock_timeout_seconds)
        destroying = {
            place(key)
            for key in gate.pending
            for finding in gate.findings
            if finding.id == DESTROYS.id and re.match(rf"{re.escape(place(key))}(?!\w)", finding.place or "")
        }
        trial = Trial(executor, judge, result, self.step, self.guard, destroying)
        present = trial.present
        old_models = exercised_models(
            self._state(loader, present if deployed is None else deployed), self.alias
        )
        old_samples = take_samples(old_models, self.alias)
        expand = [key for key in gate.expand if key not in present]
        contract = [key for key in gate.contract if key not in present]
        pending = [*expand, *contract]
        closely = affected_tables(loader, pending, plan.state_of(loader, present, []), self.alias, old_models)
        baseline = exercise(old_models, self.alias, old_samples, closely=closely)
        result.models = len(old_models)
        result.findings += not_exercised(baseline)
        unmigrated = self._new_code(executor, {*present, *expand, *contract}) if expand or contract else {}
        state = plan.state_of(loader, present, [])
        unvalidated = not_valid(connections[self.alias])
        old_tables = _tables(self._state(loader, present if deployed is None else deployed))
        new_tables = _tables(self._state(loader, {*present, *pending}))
        if not trial.forwards(expand, state, old_tables | new_tables):
            result.verdict = result.verdict_after_contract = "restore"
            return result
        broken = self._still_meant(
            old_models, newly_broken(baseline, exercise(old_models, self.alias, old_samples, closely=closely))
        )
        said = Grouped()
        for model, statement, failure in broken:
            kind = OLD_VALUE_REFUSED if is_probe(statement) else OLD_CODE_BROKEN
            level: Level = "error"
            if _depends_on_values(statement, failure):
                level = "info" if is_extreme(statement) else "warning"
            said.add(kind, level, model, statement, failure.text)
        result.findings += said.findings()
        labels = {bare(model._meta.db_table): model._meta.label for model in old_models}
        met = self._rows_refused(labels, unvalidated, frozenset(), OLD_VALUE_REFUSED)
        survived = all(_depends_on_values(statement, failure) for _, statement, failure in broken)
        half = self._new_code(executor, trial.brought() | set(contract))
        contracted = not contract or trial.forwards(contract, state, new_tables)
        if contract and contracted:
            self._rows_refused(labels, unvalidated, met, NEW_CODE_FAILS)
        whole = self._new_code(executor, trial.brought()) if contract and contracted else None
        self._compare_new_code(baseline, half, whole)
        if trial.ran:
            self._code_first(unmigrated, half if whole is None else whole)
        if contract and contracted:
            after = exercise(old_models, self.alias, old_samples, closely=closely)
            self._after_contract(baseline, after, {(model, statement) for model, statement, _ in broken})
        if contracted:
            result.proof = trial.proof()
        migrated = schema_rows(self.alias)
        if trial.ran:
            new_models = exercised_models(self._state(loader, trial.brought()), self.alias)
            result.thinned = thin_out(self.alias, new_models)
        back = trial.backwards()
        expand_reversible = back or all(is_reversible(executor, key) for key in expand)
        result.verdict = "switch" if survived else "reverse" if expand_reversible else "restore"
        if not contract:
            result.verdict_after_contract = result.verdict
        else:
            loses = any(loses_data(executor, key) for key in contract)
            clean = contracted and back and not loses
            result.verdict_after_contract = "reverse" if clean else "restore"
        if back and trial.ran:
            trial.again(migrated)
        return result

    def _state(self, loader: MigrationLoader, known: AbstractSet[MigrationKey]) -> ProjectState:
        """The models that can be built; of the others it is said that they are not exercised.

        What operations do not fit, the check has said.
        """
        state, lost = usable(plan.state_of(loader, known, []))
        for model, problem in lost:
            finding = NOT_EXERCISED(model=model, statement="all", problem=problem, place=model)
            if finding not in self.result.findings:
                self.result.findings.append(finding)
        return state

    def _new_code(self, executor: MigrationExecutor, brought: AbstractSet[MigrationKey]) -> Failures:
        new_models = exercised_models(self._state(executor.loader, brought), self.alias)
        return exercise(new_models, self.alias, take_samples(new_models, self.alias))

    def _rows_refused(
        self,
        labels: Mapping[str, str],
        known: frozenset[int],
        met: frozenset[tuple[str, str]],
        kind: FindingType,
    ) -> frozenset[tuple[str, str]]:
        """Say which rows no code can update any more, but for the checks that were `met`; all of these."""
        found = frozenset(broken_checks(connections[self.alias], known))
        for table, constraint in sorted(found - met):
            label = labels.get(table, table)
            problem = f"rows in {table} break the check {constraint}, which was added NOT VALID"
            self.result.findings.append(
                kind(
                    model=label,
                    statement="UPDATE (some rows)",
                    problem=problem,
                    values="as those rows are",
                    place=label,
                    level="warning",
                )
            )
        return found

    def _code_first(self, unmigrated: Failures, migrated: Failures) -> None:
        """May the new code be started before any migration? A fact, and no fault if not."""
        broken = newly_broken(migrated, unmigrated)
        lacking = [each for each in broken if not is_upsert(each[1])]
        self.result.code_first = not lacking
        if lacking:
            said = "; ".join(f"{statement} {model}" for model, statement, _ in lacking[:_MOST_NAMED])
            more = len(lacking) - _MOST_NAMED
            said += f" and {more} more" if more > 0 else ""
            self.result.findings.append(CODE_NOT_FIRST(statements=said, problem=lacking[0][2].text))

    def _after_contract(
        self, baseline: Failures, after: Failures, known: AbstractSet[tuple[str, str]]
    ) -> None:
        """What the deployed code loses with the contract migrations, which is why they wait for its end."""
        lost: dict[str, list[tuple[str, Failure]]] = {}
        for model, statement, failure in newly_broken(baseline, after):
            if (model, statement) not in known:
                lost.setdefault(model, []).append((statement, failure))
        for model, statements in lost.items():
            said = ", ".join(statement for statement, _ in statements[:_MOST_NAMED])
            more = len(statements) - _MOST_NAMED
            said += f" and {more} more" if more > 0 else ""
            problem = statements[0][1].text
            self.result.findings.append(
                AFTER_CONTRACT(model=model, statement=said, problem=problem, place=model)
            )

    def _still_meant(
        self, old_models: list[type[models.Model]], broken: list[tuple[str, str, Failure]]
    ) -> list[tuple[str, str, Failure]]:
        """Without the values that the deployed code's own models rule out, though the schema let them."""
        own = {
            model._meta.label: {constraint.name for constraint in model._meta.constraints}
            for model in old_models
        }
        return [
            one
            for one in broken
            if not (is_probe(one[1]) and one[2].constraint and one[2].constraint in own.get(one[0], ()))
        ]

    def _compare_new_code(self, baseline: Failures, half: Failures, whole: Failures | None) -> None:
        """What the new code can't do before the contract migrations, but can after them, must not wait.

        What it can't do at either time is its own fault where no other values could help; where they could,
        it is to be looked at, unless the deployed code could not do it on the old schema either.
        """
        said = Grouped()
        for label, statement, failure in newly_broken({}, half):
            certain, problem = failure.certain, failure.text
            if whole is not None and statement not in whole.get(label, {}):
                # A uniqueness is there to be kept; that the code also upserts on it, its models do not say.
                needed: Level = "info" if is_upsert(statement) else "error"
                said.add(NEW_CODE_BROKEN, needed, label, statement, problem)
            elif certain or statement not in baseline.get(label, {}):
                level: Level = "error" if certain else "warning"
                values = "whatever the values are" if certain else "with the values that could be made"
                said.add(NEW_CODE_FAILS, level, label, statement, problem, values=values)
        for label, statement, failure in newly_broken(half, whole or {}):
            if failure.certain and not is_upsert(statement):
                values = "once the contract migrations have run"
                said.add(NEW_CODE_FAILS, "error", label, statement, failure.text, values=values)
        self.result.findings += said.findings()


def _tables(state: ProjectState) -> frozenset[str]:
    return frozenset(bare(model._meta.db_table) for model in state.apps.get_models(include_auto_created=True))


def _depends_on_values(statement: str, failure: Failure) -> bool:
    """A constraint refused a value that the code may, or may never, write.

    Class 23 of https://www.postgresql.org/docs/current/errcodes-appendix.html but 23502 not_null_violation.
    """
    return is_probe(statement) and failure.state.startswith("23") and failure.state != "23502"
