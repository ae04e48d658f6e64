"""The interruption drill: the migrations cut off at every statement, and run again, on copies of the copy.

A session that is cut is what PostgreSQL sees of a process that was killed: it rolls back what is not
committed. What is built CONCURRENTLY is cut in the middle, too, so that its INVALID index is left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from deploy.conf import DeployConf
from deploy.databases import copies, postgresql
from deploy.databases.scratch import database_alias
from deploy.reporting.findings import Finding, Refusal
from deploy.reporting.report import Step

from ..applying.apply import apply
from ..applying.pieces import apply_in_pieces
from ..errors import database_text
from ..graph import plan
from ..graph.plan import MigrationKey, place
from ..graph.standin import standing_in
from ..run_findings import HALF_DATA
from ..schema import difference, schema_fingerprint, schema_rows
from ..sql.effects import effects
from .guard import Guard
from .rehearsal_findings import DRILL_ASKS, DRILL_DIVERGES

DRILL_ALIAS = "deploy_drill"
# Of one migration; the rest of a longer one is as the first.
_MOST_BOUNDARIES = 60
_EVERY_SECONDS = 0.01
_TABLES = """SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'"""
_WAITS = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


class Killed(BaseException):  # nothing of ours may catch it, as nothing catches SIGKILL
    """The session of a migration was cut."""


@dataclass
class Cutter:
    """An `execute_wrapper` that cuts its session before statement `number` (from 0, SELECTs left out), or,
    with `inside`, in the middle of the `number`-th statement that runs CONCURRENTLY.
    """

    connection: BaseDatabaseWrapper
    number: int
    inside: bool = False
    seen: int = 0
    killed: bool = False

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        text = str(sql)
        if self.inside:
            if not any(effect.concurrently for effect in effects(text)):
                return execute(sql, params, many, context)
        elif text.lstrip()[:6].upper() == "SELECT":
            return execute(sql, params, many, context)
        self.seen += 1
        if self.seen <= self.number:
            return execute(sql, params, many, context)
        if self.inside:
            with self._terminating(), suppress(Exception):  # the end of the session is what is wanted
                execute(sql, params, many, context)
        self.killed = True
        with suppress(Exception):  # it may be closed already
            self.connection.connection.close()
        raise Killed

    @contextmanager
    def _terminating(self) -> Iterator[None]:
        """Hold every table open for writing, and end the session as soon as it waits for that."""
        alias, pid = self.connection.alias, self.connection.connection.info.backend_pid
        done = threading.Event()
        with (
            closing(postgresql.connect(alias)) as looking,
            closing(postgresql.connect(alias, autocommit=False)) as writer,
        ):
            tables = [name for (name,) in looking.execute(_TABLES).fetchall()]
            writer.execute(f"LOCK TABLE {', '.join(tables)} IN ROW EXCLUSIVE MODE")

            def end() -> None:
                while not done.wait(_EVERY_SECONDS):
                    if looking.execute(_WAITS, [pid]).fetchone():
                        looking.execute("SELECT pg_terminate_backend(%s)", [pid])
                        return

            thread = threading.Thread(target=end, name="interruption-drill", daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()


@dataclass
class Drill:
    """The drill on copies of database `base`, whose names begin with it; `like` is the live alias.

    `schemas` is the schema (SHA-256) that the rehearsal saw after each migration.
    """

    conf: DeployConf
    like: str
    base: str
    step: Step
    kills: int = 0
    asked: int = 0
    copies: int = 0
    findings: list[Finding] = field(default_factory=list)

    def run(self, ran: Sequence[tuple[MigrationKey, str]]) -> dict[str, Any]:
        """Cut each of `ran` (with the schema after it) at every boundary; what was done, for the report."""
        began = time.monotonic()
        conf = replace(self.conf, database=self.like)
        for done, (key, wanted) in enumerate(ran):
            self.step.progress(done, len(ran), unit="migrations", note=f"interruption drill: {place(key)}")
            with self._on(self.base) as alias:
                atomic = _migration(alias, key).atomic
                if atomic:
                    self._cut_atomic(alias, key)
            if not atomic:
                self._cut_in_pieces(conf, key, wanted)
            with self._on(self.base) as alias:  # and on to the next one
                problem = _again(conf, alias, key, "again")
                problem = problem or ("" if schema_fingerprint(alias) == wanted else "the schema is another")
            if problem:
                self._say(key, "killed at its statements", problem)
                break
        return {
            "kills": self.kills,
            "asked_a_person": self.asked,
            "copies": self.copies,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _cut_atomic(self, alias: str, key: MigrationKey) -> None:
        """All or nothing: after each cut the schema is the one before."""
        before = schema_rows(alias)
        for number in range(_MOST_BOUNDARIES):
            if not _cut(alias, key, Cutter(connections[alias], number)):
                return
            self.kills += 1
            if differs := difference(before, schema_rows(alias)):
                self._say(key, f"killed before statement {number + 1}", differs)
                return

    def _cut_in_pieces(self, conf: DeployConf, key: MigrationKey, wanted: str) -> None:
        """Each boundary on a copy of its own, because a piece stays."""
        name = f"{self.base}_1"
        for inside in (False, True):
            for number in range(_MOST_BOUNDARIES):
                copies.copy_whole(self.like, self.base, name)
                self.copies += 1
                try:
                    with self._on(name) as alias:
                        if not _cut(alias, key, Cutter(connections[alias], number, inside=inside)):
                            break
                        self.kills += 1
                        where = (
                            f"killed {'inside CONCURRENTLY' if inside else 'before statement'} {number + 1}"
                        )
                        self._converge(conf, alias, key, where, wanted)
                finally:
                    copies.drop(self.like, name)
            if connections[self.like].vendor != "postgresql":
                return

    def _converge(self, conf: DeployConf, alias: str, key: MigrationKey, where: str, wanted: str) -> None:
        problem = _again(conf, alias, key, "")
        if problem.startswith(HALF_DATA.id):
            self.asked += 1
            if not any(
                finding.id == DRILL_ASKS.id and finding.place == place(key) for finding in self.findings
            ):
                self.findings.append(DRILL_ASKS(where=where, place=place(key)))
            problem = _again(conf, alias, key, "again")
        if not problem and schema_fingerprint(alias) != wanted:
            problem = "the schema is not the one that an undisturbed run leaves"
        if problem:
            self._say(key, where, problem)

    def _say(self, key: MigrationKey, where: str, problem: str) -> None:
        if not any(
            finding.id == DRILL_DIVERGES.id and finding.place == place(key) for finding in self.findings
        ):
            self.findings.append(DRILL_DIVERGES(where=where, problem=problem, place=place(key)))

    @contextmanager
    def _on(self, name: str) -> Iterator[str]:
        with (
            database_alias(self.like, name, alias=DRILL_ALIAS) as alias,
            standing_in(self.like, alias) as live,
        ):
            yield live


def _migration(alias: str, key: MigrationKey) -> Any:
    return plan.load(alias).graph.nodes[key]


def _cut(alias: str, key: MigrationKey, cutter: Cutter) -> bool:
    """Run the migration under `cutter`; False when it came through."""
    connection = connections[alias]
    executor = MigrationExecutor(connection)
    executor.loader = plan.load(alias)
    migration = executor.loader.graph.nodes[key]
    state = plan.state_of(executor.loader, executor.loader.applied_migrations)
    try:
        with connection.execute_wrapper(Guard(connection)), connection.execute_wrapper(cutter):
            if not migration.atomic:
                apply_in_pieces(executor, state, migration)
            else:
                with connection.constraint_checks_disabled(), transaction.atomic(using=alias):
                    executor.apply_migration(state, migration)
                    transaction.set_rollback(True, using=alias)  # it came through: nothing of it may stay
    except Killed:
        pass
    except Exception:  # of the cut: rolling back on a session that is gone; any other is raised
        if not cutter.killed:
            raise
    finally:
        if cutter.killed:
            # With a process its connection objects go; this one may believe that it is in a
            # transaction still, or have connected once more on its way out.
            with suppress(Exception):
                connection.connection.close()
            del connections[alias]
    return cutter.killed


def _again(conf: DeployConf, alias: str, key: MigrationKey, interrupted: Any) -> str:
    """What the next run of `apply` says; empty when it came through."""
    try:
        with connections[alias].execute_wrapper(Guard(connections[alias])):
            apply(
                conf,
                alias=alias,
                migrations=[key],
                guard=lambda: None,
                step=Step("drill"),
                interrupted=interrupted,
            )
    except Refusal as refusal:
        first = refusal.findings[0]
        return f"{first.id}: {first.message}"
    except Exception as error:  # noqa: BLE001 – whatever it is, the migration does not go on by itself
        return f"{type(error).__name__}: {database_text(error)}"
    finally:
        connections[alias].close()
    return ""
