"""kill -9 at every request, before it is carried out and after: nothing is begun twice or left for long."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.backup.cloudsql.clones import is_ours
from deploy.backup.naming import Identity, new_id
from deploy.testing.gcs_api import Answer, json_answer
from deploy.testing.gcs_faults import Request
from deploy.testing.sqladmin_server import SQLAdminServer

from .conftest import INSTANCE, PROJECT
from .subject import act


class Killer(SQLAdminServer):
    """Kills whoever sends the nth request, `before` it is carried out or after."""

    def __init__(self, nth: int, *, before: bool) -> None:
        super().__init__()
        self.nth, self.before = nth, before
        self.seen = 0
        self.victim: subprocess.Popen[bytes] | None = None

    def answer(self, request: Request) -> Answer:
        self.seen += 1
        if self.victim is None or self.seen != self.nth:
            return super().answer(request)
        answer = json_answer({}) if self.before else super().answer(request)
        self.victim.kill()
        self.victim.wait()
        return answer


def task(server: SQLAdminServer, do: str) -> dict[str, str]:
    created = datetime.now(UTC)
    return {"do": do, "url": server.url, "created": created.isoformat(), "backup": new_id(created, "v1")}


def run_to_its_death(server: Killer, do: str) -> bool:
    """True when it was killed, False when it ended before its nth request."""
    server.victim = subprocess.Popen(
        [sys.executable, "-m", "tests.backup.cloudsql.subject", json.dumps(task(server, do))],
        cwd=Path(__file__).parents[3],
    )
    try:
        code = server.victim.wait(60)
    finally:
        server.victim.kill()
        server.victim.wait()
        server.victim = None
    assert code in (0, -9)
    return code == -9


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_killed_backup_is_gone_on_with(*, before: bool) -> None:
    killed = 0
    for nth in range(1, 40):
        with Killer(nth, before=before) as server:
            server.add_instance(PROJECT, INSTANCE)
            died = run_to_its_death(server, "take")
            killed += died
            act(task(server, "take"))  # the next run, with an id of its own
        (run,) = server.instances.runs
        assert run["status"] == "SUCCESSFUL"
        assert server.broken == []
        if not died:
            break
    assert killed >= 4


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_killed_drills_clone_is_deleted_by_the_next(identity: Identity, *, before: bool) -> None:
    killed, left = 0, 0
    for nth in range(1, 60):
        with Killer(nth, before=before) as server:
            server.add_instance(PROJECT, INSTANCE, settings=protected())
            server.add_instance(PROJECT, "deploy-drill-by-hand")
            died = run_to_its_death(server, "clone")
            killed += died
            there = [name for name in server.instances.by_name if is_ours(identity, name)]
            left += bool(there)
            act(task(server, "clone"))
            server.instances.answer("instances.list", {"project": PROJECT}, {}, {})  # time passes
            server.instances.answer("instances.list", {"project": PROJECT}, {}, {})
        assert set(server.instances.by_name) == {INSTANCE, "deploy-drill-by-hand"}
        assert server.broken == []
        if not died:
            break
    assert killed >= 10
    assert left >= 5


def protected() -> dict[str, object]:
    return {
        "kind": "sql#settings",
        "deletionProtectionEnabled": True,
        "backupConfiguration": {"pointInTimeRecoveryEnabled": True},
    }


def test_several_at_once() -> None:
    with SQLAdminServer() as server, ThreadPoolExecutor(4) as pool:
        server.add_instance(PROJECT, INSTANCE)
        list(pool.map(act, [task(server, "take") for _ in range(4)]))

    assert {run["status"] for run in server.instances.runs} == {"SUCCESSFUL"}
    assert 1 <= len(server.instances.runs) <= 4
    assert server.broken == []
