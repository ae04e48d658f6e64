"""Migrations run on the copy under observation, undone, and run again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from django.db import OperationalError, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from deploy.databases import postgresql
from deploy.reporting.findings import Finding, Level
from deploy.reporting.report import Step

from ..applying.pieces import apply_in_pieces
from ..errors import database_text, is_lost
from ..findings_of_statements import REACHES_OUTSIDE
from ..graph import plan
from ..graph.plan import MigrationKey, place
from ..run_findings import FAILS_ON_COPY, REVERSE_DIFFERS
from ..schema import difference, fingerprint_of, in_substance, schema_fingerprint, schema_rows
from .blocking import Judge
from .emptied import filled_tables, rows_gone
from .evidence import Proof, files_of, server_version
from .guard import Guard
from .observe import Observer
from .polled import SecondSession
from .readings import tables
from .rehearsal_findings import REDO_DIFFERS
from .rehearsal_report import Rehearsal

_LOST = "the connection to the copy was lost"


@dataclass
class Trial:
    """The copy `executor.connection`, what has run on it so far (`ran`), and where findings go.

    `destroying`: the migrations of which the check has said that they destroy data.
    """

    executor: MigrationExecutor
    judge: Judge
    result: Rehearsal
    step: Step
    guard: Guard
    destroying: AbstractSet[str] = frozenset()
    ran: list[MigrationKey] = field(default_factory=list)
    schemas: list[str] = field(default_factory=list)
    returned: bool = False

    def __post_init__(self) -> None:
        self.alias = self.executor.connection.alias
        self.present = frozenset(self.executor.loader.applied_migrations)
        self.there = tables(connections[self.alias])
        self.before = schema_rows(self.alias)

    def forwards(
        self, keys: Sequence[MigrationKey], state: ProjectState, kept: AbstractSet[str] = frozenset()
    ) -> bool:
        """Run `keys` on top of `state`, which is moved on, and observe them; False when one fails.

        `kept` are the tables that a code which runs after them has models of.
        """
        for done, key in enumerate(keys):
            self.step.progress(done, len(keys), unit="migrations", note=place(key))
            before = filled_tables(connections[self.alias])
            if not self._observed(key, state):
                return False
            after, is_said = filled_tables(connections[self.alias]), place(key) in self.destroying
            self.result.findings += rows_gone(before, after, place(key), kept=kept, is_said=is_said)
            self.ran.append(key)
            self.schemas.append(schema_fingerprint(self.alias))
        return True

    def proof(self) -> Proof:
        """What has been seen so far, for `apply` to compare with."""
        files = files_of(self.executor.loader, self.ran)
        ran = tuple(
            (place(key), files[place(key)], after) for key, after in zip(self.ran, self.schemas, strict=True)
        )
        return Proof(server_version(self.alias), fingerprint_of(self.before), ran)

    def _observed(self, key: MigrationKey, state: ProjectState) -> bool:
        connection = connections[self.alias]
        migration = self.executor.loader.graph.nodes[key]
        observer = Observer(connection, self.there, second=self._second_session)
        connection.ensure_connection()
        observer.begin()
        began = time.monotonic()
        try:
            with connection.execute_wrapper(observer):
                if migration.atomic:
                    with connection.constraint_checks_disabled(), transaction.atomic(using=self.alias):
                        self.executor.apply_migration(state, migration)
                        observer.finish()
                else:
                    apply_in_pieces(self.executor, state, migration)
        except (Exception, SystemExit) as error:
            if is_lost(error):
                raise OperationalError(_LOST) from error
            if not self._went_outside(key):
                problem = f"{type(error).__name__}: {database_text(error)}"
                self.result.findings.append(FAILS_ON_COPY(problem=problem, place=place(key)))
            return False
        finally:
            observer.close()
        if self._went_outside(key):  # and the migration caught the refusal
            return False
        name = place(key)
        self.result.seconds[name] = round(time.monotonic() - began, 3)
        self.result.statements[name] = observer.statements
        self.result.findings += self.judge.findings(observer, name, atomic=migration.atomic)
        return True

    def _second_session(self, pid: int) -> SecondSession:
        return SecondSession(postgresql.connect(self.alias), pid)

    def _went_outside(self, key: MigrationKey) -> bool:
        """Say which statements of it were not run because they reach outside the copy, if any."""
        refused, self.guard.refused[:] = list(dict.fromkeys(self.guard.refused)), []
        self.result.findings += [REACHES_OUTSIDE(verb=verb, place=place(key)) for verb in refused]
        return bool(refused)

    def backwards(self) -> bool:
        """Undo what ran, and compare the schema with the one before; True when it came back."""
        if not self.ran or not all(is_reversible(self.executor, key) for key in self.ran):
            return not self.ran
        states = self._states()
        for key in reversed(self.ran):
            migration = self.executor.loader.graph.nodes[key]
            try:
                self.executor.unapply_migration(states[key], migration)
            except (Exception, SystemExit) as error:
                if is_lost(error):
                    raise OperationalError(_LOST) from error
                self._went_outside(key)
                problem = f"{type(error).__name__}: {database_text(error)}"
                self.result.findings.append(REVERSE_DIFFERS(problem=problem, place=place(key)))
                self.result.reversed_cleanly = False
                return False
        after = schema_rows(self.alias)
        differs = difference(self.before, after)
        was, now = in_substance(self.before), in_substance(after)
        same = was == now
        if differs:
            # What stays behind hurts nobody by itself; what does not come back may.
            level: Level = "info" if set(was) <= set(now) else "warning"
            self.result.findings.append(
                REVERSE_DIFFERS(problem=differs, place=place(self.ran[-1]), level=level)
            )
        self.returned = not differs
        self.result.reversed_cleanly = same
        return same

    def again(self, wanted: frozenset[tuple[str, ...]]) -> None:
        """Run what was undone once more: after a rollback the next deploy does just that.

        `wanted` is the schema that the first run left.
        """
        state = plan.state_of(self.executor.loader, self.present, [])
        connection = connections[self.alias]
        for key in self.ran:
            migration = self.executor.loader.graph.nodes[key]
            try:
                if migration.atomic:
                    with connection.constraint_checks_disabled(), transaction.atomic(using=self.alias):
                        state = self.executor.apply_migration(state, migration)
                else:
                    apply_in_pieces(self.executor, state, migration)
            except (Exception, SystemExit) as error:
                if is_lost(error):
                    raise OperationalError(_LOST) from error
                self._went_outside(key)
                problem = f"it fails: {type(error).__name__}: {database_text(error)}"
                self.result.findings.append(self._not_again(problem, key))
                self.result.redone_cleanly = False
                return
        differs = difference(wanted, schema_rows(self.alias))
        if differs:
            self.result.findings.append(self._not_again(differs, self.ran[-1]))
        self.result.redone_cleanly = not differs

    def _not_again(self, problem: str, key: MigrationKey) -> Finding:
        """Where the schema did not quite come back, that was said, and this follows from it."""
        level: Level = "warning" if self.returned else "info"
        return REDO_DIFFERS(problem=problem, place=place(key), level=level)

    def _states(self) -> dict[MigrationKey, ProjectState]:
        """The state in front of each migration that ran."""
        known = set(self.present)
        states: dict[MigrationKey, ProjectState] = {}
        for key in self.ran:
            states[key] = plan.state_of(self.executor.loader, known, [])
            known.add(key)
        return states

    def brought(self) -> AbstractSet[MigrationKey]:
        """What the copy has now."""
        return self.present | set(self.ran)


def is_reversible(executor: MigrationExecutor, key: MigrationKey) -> bool:
    """Every operation says how to undo it."""
    return all(operation.reversible for operation in executor.loader.graph.nodes[key].operations)


def loses_data(executor: MigrationExecutor, key: MigrationKey) -> bool:
    """It takes away what no reverse brings back, or does what nobody can tell."""
    from django.db.migrations import operations

    from ..graph.offline import flattened

    losing = (operations.RemoveField, operations.DeleteModel, operations.RunSQL, operations.RunPython)
    return any(isinstance(one, losing) for one in flattened(executor.loader.graph.nodes[key].operations))
