"""Through a real PgBouncer: whole sessions serve, lent ones are refused, and nothing is left on them."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError, connections

from deploy.databases.scratch import database_alias
from deploy.gate.applying import pooler
from deploy.gate.applying.wait import wait
from deploy.gate.graph import plan
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .project import Shop, conf, query, run_all
from .test_apply import refusal

ADD = 'migrations.AddField("order", "memo", models.TextField(null=True)),'
INI = """
[databases]
* = host={host} {port}
[pgbouncer]
listen_addr =
listen_port = 6543
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
server_round_robin = {round_robin}
ignore_startup_parameters = extra_float_digits
{user}
"""


@contextlib.contextmanager
def pgbouncer(alias: str, folder: Path, mode: str, *, round_robin: int = 0) -> Iterator[str]:
    """An alias of the same database through a PgBouncer of our own."""
    entry = connections.settings[alias]
    server_user = Path(entry["HOST"]).owner() if entry["HOST"].startswith("/") else "nobody"
    root = os.geteuid() == 0  # it refuses to stay root; the server's user may pass through its folder
    folder = Path(os.path.realpath(folder))
    port = f"port={entry['PORT']}" if entry.get("PORT") else ""
    ini = INI.format(
        host=entry["HOST"], port=port, folder=folder, mode=mode, round_robin=round_robin,
        user=f"user = {server_user}" if root else "",
    )  # fmt: skip
    (folder / "pgbouncer.ini").write_text(ini)
    (folder / "users").write_text(f'"{entry["USER"]}" "{entry.get("PASSWORD") or ""}"\n')
    folder.chmod(0o777)
    for parent in folder.parents if root else ():
        parent.chmod(parent.stat().st_mode | 0o011)
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([found, folder / "pgbouncer.ini"], stdout=log, stderr=log)
    try:
        with database_alias(alias, entry["NAME"], alias="gate_pooled") as pooled:
            connections.settings[pooled] |= {"HOST": str(folder), "PORT": "6543"}
            _until_it_answers(pooled, folder / "log")
            yield pooled
    finally:
        process.terminate()
        process.wait()


def _until_it_answers(alias: str, log: Path) -> None:
    for _ in range(100):
        try:
            query(alias, "SELECT 1")
        except OperationalError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


@pytest.mark.needs_pgbouncer
@pytest.mark.parametrize(("mode", "round_robin"), [("transaction", 0), ("transaction", 1), ("statement", 0)])
def test_lent_sessions_are_refused_before_anything_is_set_or_locked(
    mode: str, round_robin: int, app: Shop, deployed: str, tmp_path: Path
) -> None:
    app.write("0002_memo", ADD)
    with pgbouncer(deployed, tmp_path, mode, round_robin=round_robin) as pooled:
        found = refusal(pooled)
        (finding,) = found.findings
        assert (finding.id, found.exit_code) == ("deploy.M064", 2)
        assert "past the pooler" in finding.hint
        locks = "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        advisory = f"{locks} WHERE d.datname = current_database() AND l.locktype = 'advisory'"
        assert query(deployed, advisory) == []
        for _ in range(3):
            assert query(pooled, "SELECT current_setting('lock_timeout')") == [("0",)]
    assert plan.pending(plan.load(deployed)) == [("shop", "0002_memo")]


@pytest.mark.needs_pgbouncer
def test_lent_sessions_are_found_out_among_other_clients(app: Shop, deployed: str, tmp_path: Path) -> None:
    app.write("0002_memo", ADD)
    with pgbouncer(deployed, tmp_path, "transaction") as pooled, contextlib.ExitStack() as stack:
        params = connections[pooled].get_connection_params()
        for _ in range(4):  # some server sessions wait idle in the pool, some are in use
            other = stack.enter_context(psycopg.connect(**params))
            other.execute("SELECT 1")
        for other in [stack.enter_context(psycopg.connect(**params)) for _ in range(4)]:
            other.execute("SELECT 1")
            other.rollback()
        assert refusal(pooled).findings[0].id == "deploy.M064"


@pytest.mark.needs_pgbouncer
def test_whole_sessions_serve(app: Shop, deployed: str, tmp_path: Path) -> None:
    memo = app.write("0002_memo", ADD)
    with pgbouncer(deployed, tmp_path, "session") as pooled:
        assert run_all(pooled) == [memo]


@pytest.mark.needs_pgbouncer
def test_waiting_needs_no_session_of_its_own(app: Shop, deployed: str, tmp_path: Path) -> None:
    with pgbouncer(deployed, tmp_path, "transaction") as pooled:
        wait(conf(database=pooled), alias=pooled, timeout_seconds=5, step=Step("wait"))


def test_another_server_process_in_the_middle_is_noticed(deployed: str) -> None:
    query(deployed, "SELECT 1")
    pid = pooler.require_own_session(connections[deployed])
    pooler.require_same(connections[deployed], pid)
    with pytest.raises(Refusal) as caught:
        pooler.require_same(connections[deployed], pid + 1)
    assert caught.value.findings[0].id == "deploy.M064"
