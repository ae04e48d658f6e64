"""The start hook's question: is the schema there that this image's code needs?"""

from __future__ import annotations

import random
import time
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from ..findings import ORDER, SPLIT
from ..graph import plan
from ..graph.plan import MigrationKey, place
from ..run_findings import NOT_APPLIED_YET, UNREACHABLE
from ..static.declared import NOT_CONTRACT

# Refused migrations that the new code cannot start without, whatever phase they were put into.
_NEEDED = {SPLIT.id, ORDER.id, NOT_CONTRACT.id}


def missing(loader: MigrationLoader, applied: frozenset[MigrationKey]) -> list[MigrationKey]:
    """The migrations of the graph that have not run, in plan order; a squash has when its parts have."""
    return [key for key in plan.full_plan(loader) if not plan.is_in(key, loader.graph.nodes[key], applied)]


def wait(
    conf: DeployConf,  # noqa: ARG001 – the capabilities' common first argument
    *,
    alias: str,
    timeout_seconds: float,
    step: Step,
    deployed: frozenset[MigrationKey] | None = None,
) -> None:
    """Return when every migration that this image's code needs is applied, also when the database has more.

    Contract migrations run after the switch, when the containers that wait here already serve; so they are
    not waited for. A database that does not answer yet is asked again.

    Raises:
        Refusal: deploy.M060 with the missing names, deploy.M061 when the database never answered; exit
        code 1.
    """
    plan.require_supported(alias)
    began = time.monotonic()
    options = dict(connections[alias].settings_dict.get("OPTIONS") or {})
    loader = plan.load(None)
    judged: frozenset[MigrationKey] = frozenset()
    needed: list[Migration] = []
    problem = ""
    awaited: list[MigrationKey] = []
    try:
        while True:
            try:
                left = timeout_seconds - (time.monotonic() - began)
                _bound(connections[alias], options, left)
                recorded = _recorded(alias)
                lacking = missing(loader, recorded)
                if not judged.issuperset(lacking):  # once; again only if something was taken back meanwhile
                    needed = _needed(alias, deployed)
                    judged = frozenset(lacking)
            except (DatabaseError, Unreachable) as error:
                problem = plan.one_line(error)
                connections[alias].close()
            else:
                problem = ""
                keys = [(one.app_label, one.name) for one in needed] if lacking else []
                awaited = [
                    key for key, one in zip(keys, needed, strict=False) if not plan.is_in(key, one, recorded)
                ]
                if not awaited:
                    step.facts["postponed"] = [place(key) for key in lacking]
                    step.facts["waited_seconds"] = round(time.monotonic() - began, 3)
                    return
            if time.monotonic() - began >= timeout_seconds:
                break
            step.progress(
                time.monotonic() - began, timeout_seconds, unit="seconds", note="waiting for the schema"
            )
            left = timeout_seconds - (time.monotonic() - began)
            time.sleep(max(0.0, min(left, random.uniform(0.2, 0.6))))  # noqa: S311 – jitter, not a secret
    finally:
        connections[alias].settings_dict["OPTIONS"] = options
    if problem:
        raise Refusal(UNREACHABLE(alias=alias, problem=problem), exit_code=1)
    names = ", ".join(place(key) for key in awaited)
    raise Refusal(NOT_APPLIED_YET(seconds=timeout_seconds, names=names), exit_code=1)


class Unreachable(Exception):  # noqa: N818 – it states a fact
    """The database went away while its migrations were judged."""


def _bound(connection: BaseDatabaseWrapper, options: dict[str, Any], left_seconds: float) -> None:
    """Let the next connection be given up in time: an address may accept it and never answer.

    `options` are the project's own, whose shorter limit stays.
    """
    if connection.vendor == "postgresql" and connection.connection is None:
        limit = max(2, round(left_seconds))  # libpq takes no less than 2
        limit = min(limit, int(options.get("connect_timeout") or limit))
        connection.settings_dict["OPTIONS"] = {**options, "connect_timeout": limit}


def _recorded(alias: str) -> frozenset[MigrationKey]:
    """What the database says has run: one SELECT; nothing where Django has made no table yet."""
    recorder = MigrationRecorder(connections[alias])
    try:
        return frozenset(recorder.migration_qs.values_list("app", "name"))
    except DatabaseError:
        if recorder.has_table():
            raise
        return frozenset()


def _needed(alias: str, deployed: frozenset[MigrationKey] | None) -> list[Migration]:
    """The migrations that the new code cannot start without, of those that have not run."""
    from ..static.judgement import judge  # costs a start some 30 ms, and mostly nothing is missing

    try:
        loader = plan.load(alias)
    except Refusal as refusal:
        if any(finding.id == UNREACHABLE.id for finding in refusal.findings):
            raise Unreachable(refusal) from refusal
        raise
    pending = plan.pending(loader)
    applied = frozenset(loader.applied_migrations)
    postponed: set[MigrationKey] = set()
    wanted: set[str | None] = set()
    for old in (None, deployed) if deployed is not None else (None,):
        report = judge(loader, pending, applied=applied, deployed=old, alias=alias)
        postponed |= set(report.contract) | set(report.drops_only)
        wanted |= {finding.place for finding in report.findings if finding.id in _NEEDED}
    needed = [key for key in pending if key not in postponed or place(key) in wanted]
    return [loader.graph.nodes[key] for key in needed]
