"""Applying under traffic, beside other appliers, and over the remains of killed ones."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connections
from django.db.models.signals import post_migrate

from deploy.gate.applying.apply import apply, reverse
from deploy.gate.applying.turn import lock_key
from deploy.gate.graph import plan
from deploy.gate.schema import schema_fingerprint
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .project import INITIAL, Shop, conf, query, run_all, shop, sqlite

ROOT = Path(__file__).resolve().parents[2]
ADD = 'migrations.AddField("order", "memo", models.TextField(null=True))'
INDEX = 'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx"))'
CAST = ', migrations.RunSQL("SELECT note::integer FROM shop_order")'
SLEEP = 'migrations.RunSQL("SELECT pg_sleep({})", migrations.RunSQL.noop)'


def nothing() -> None:
    pass


def start(
    app: Shop, alias: str, *, end: tuple[int, int] | None = None, at: str = "at", **changes: object
) -> subprocess.Popen:
    """An applier of its own; `end` is a signal and the number of the statement before which it gets it.

    `at`: "answer" where it comes before an answer of the server instead.
    """
    keep = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    entry = {name: str(value) for name, value in connections.settings[alias].items() if name in keep}
    job = {
        "root": str(app.root),
        "package": app.package,
        "database": entry,
        "conf": changes,
        "names": app.names,
        **({"signal": int(end[0]), at: end[1]} if end else {}),
    }
    argv = [sys.executable, "-m", "tests.gate.applier", json.dumps(job)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def other_session(alias: str):
    """A second connection to the same database, in a transaction."""
    import psycopg

    entry = connections.settings[alias]
    given = {"host": entry["HOST"], "user": entry["USER"], "dbname": entry["NAME"], "port": entry.get("PORT")}
    return psycopg.connect(**{k: v for k, v in given.items() if v}, application_name="old_report")


def refusal(alias: str, **changes: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        run_all(alias, **changes)
    return caught.value


def test_runs_exactly_the_given_migrations_and_skips_what_is_applied(app: Shop, deployed: str) -> None:
    memo = app.write("0002_memo", ADD)
    app.write("0003_drop", 'migrations.RemoveField("order", "paid")')
    step = Step("apply")
    assert run_all(deployed, only=[memo], step=step) == [memo]
    assert step.facts["migrations"]["shop.0002_memo"]["attempts"] == 1
    assert run_all(deployed, only=[memo]) == []
    assert plan.pending(plan.load(deployed)) == [("shop", "0003_drop")]


def test_tells_the_project_as_migrate_does(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    seen: list[str] = []

    def receiver(using: str, **_: object) -> None:
        seen.append(using)

    post_migrate.connect(receiver)
    try:
        run_all(deployed)
    finally:
        post_migrate.disconnect(receiver)
    assert seen == [deployed]


def test_asks_the_guard_before_each_migration(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    app.write("0003_data", SLEEP.format(0))
    calls: list[int] = []

    def lost_after_one() -> None:
        calls.append(1)
        if len(calls) > 1:
            raise Refusal(exit_code=75)

    keys = plan.pending(plan.load(deployed))
    with pytest.raises(Refusal) as caught:
        apply(conf(), alias=deployed, migrations=keys, guard=lost_after_one, step=Step("apply"))
    assert caught.value.exit_code == 75
    assert plan.pending(plan.load(deployed)) == [("shop", "0003_data")]


def test_four_processes_at_once_apply_each_migration_once(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD + "," + SLEEP.format(0.3))
    app.write("0003_index", INDEX, atomic=False)
    answers = [answer(process) for process in [start(app, deployed) for _ in range(4)]]
    applied = [name for one in answers for name in one["applied"]]
    assert sorted(applied) == ["0002_memo", "0003_index"]


def test_names_the_applier_that_does_not_finish(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    with other_session(deployed) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [lock_key(conf())])
        found = refusal(deployed, apply_timeout_seconds=0.5)
        (finding,) = found.findings
        pid = other.info.backend_pid
    assert finding.id == "deploy.M050"
    assert str(pid) in finding.message
    assert "old_report" in finding.message
    assert found.exit_code == 1


def test_gives_way_to_a_long_transaction_and_comes_back(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    waits: list[float] = []
    step = Step("apply")
    with other_session(deployed) as reader:
        reader.execute("SELECT count(*) FROM shop_order")
        release = threading.Timer(1.5, reader.rollback)
        release.start()
        client = threading.Thread(target=_read_for, args=(deployed, 1.2, waits))
        client.start()
        run_all(deployed, step=step, statement_lock_timeout_seconds=0.2)
        client.join()
        pid = reader.info.backend_pid
    (met,) = step.facts["waited_for"]
    assert met.startswith(f"shop_order: pid {pid} (old_report")
    assert len(waits) > 3
    assert max(waits) < 0.8


def _read_for(alias: str, seconds: float, waits: list[float]) -> None:
    with other_session(alias) as client:
        client.autocommit = True
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            client.execute("SELECT count(*) FROM shop_order")
            waits.append(time.monotonic() - began)
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("operations", "head"),
    [
        (ADD, ""),
        ('migrations.RunSQL("ALTER TABLE shop_order ADD memo text", migrations.RunSQL.noop)', ""),
        (
            "migrations.RunPython(lock, migrations.RunPython.noop)",
            "def lock(apps, editor): editor.execute('ALTER TABLE shop_order ADD memo text')",
        ),
    ],
    ids=["operation", "RunSQL", "RunPython"],
)
def test_never_waits_longer_than_the_limit_and_names_the_blocker(
    operations: str, head: str, app: Shop, deployed: str
) -> None:
    app.write("0002_case", operations, head=head)
    with other_session(deployed) as reader:
        reader.execute("SELECT count(*) FROM shop_order")
        found = refusal(deployed, statement_lock_timeout_seconds=0.1, apply_timeout_seconds=1)
        pid = reader.info.backend_pid
    (finding,) = found.findings
    assert finding.id == "deploy.M062"
    assert f"In the way: pid {pid} (old_report, user " in finding.message
    assert f"SELECT pg_terminate_backend({pid});" in finding.hint
    assert finding.place == "shop.0002_case"
    assert query(deployed, "SHOW lock_timeout") == [("0",)]
    run_all(deployed)


def test_a_failing_migration_is_rolled_back_and_said_without_data(app: Shop, deployed: str) -> None:
    query(deployed, "UPDATE shop_order SET note = 'confidential'")
    before = schema_fingerprint(deployed)
    app.write("0002_bad", ADD + CAST)
    (finding,) = refusal(deployed).findings
    assert finding.id == "deploy.M052"
    assert "rolled back" in finding.message
    assert "confidential" not in finding.message
    assert schema_fingerprint(deployed) == before


def test_an_invalid_index_of_a_killed_run_is_dropped_and_built_again(app: Shop, deployed: str) -> None:
    app.write("0002_index", INDEX, atomic=False)
    query(deployed, 'CREATE INDEX "total_idx" ON shop_order (total)')
    query(deployed, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'total_idx'::regclass")
    step = Step("apply")
    run_all(deployed, step=step)
    assert step.facts["leftover_indexes"] == ["dropped INVALID total_idx"]
    assert query(deployed, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'total_idx'::regclass") == [
        (True,)
    ]


def test_a_concurrent_index_waits_for_old_snapshots_beyond_the_lock_timeout(app: Shop, deployed: str) -> None:
    app.write("0002_index", INDEX, atomic=False)
    step = Step("apply")
    with other_session(deployed) as writer:
        writer.execute("UPDATE shop_order SET total = total")
        threading.Timer(1, writer.rollback).start()
        run_all(deployed, step=step, statement_lock_timeout_seconds=0.1)
    assert step.facts["migrations"]["shop.0002_index"]["attempts"] == 1


@pytest.mark.parametrize("after_seconds", [0.0, 0.25, 0.5])
def test_a_killed_applier_leaves_all_or_nothing_of_a_migration(
    after_seconds: float, app: Shop, deployed: str
) -> None:
    app.write("0002_memo", ADD + "," + SLEEP.format(0.4))
    by = 'models.ForeignKey("shop.Customer", models.CASCADE, null=True, related_name="+")'
    link = f'migrations.AddField("order", "by", {by})'
    app.write("0003_link", link + "," + SLEEP.format(0.4))
    app.write("0004_index", INDEX, atomic=False)
    process = start(app, deployed)
    _until_it_sleeps(deployed)
    time.sleep(after_seconds)
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    run_all(deployed)
    assert plan.pending(plan.load(deployed)) == []
    columns = query(
        deployed, "SELECT column_name FROM information_schema.columns WHERE table_name = 'shop_order'"
    )
    assert {"memo", "by_id"} <= {name for (name,) in columns}


def _until_it_sleeps(alias: str) -> None:
    for _ in range(200):
        if query(
            alias, "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'"
        ):
            return
        time.sleep(0.05)
    raise AssertionError("the applier never came to its migration")


def test_refuses_what_it_does_not_know_and_what_is_out_of_order(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    last = app.write("0003_data", SLEEP.format(0))
    with pytest.raises(Refusal) as unknown:
        run_all(deployed, only=[("shop", "0009_gone")])
    with pytest.raises(Refusal) as order:
        run_all(deployed, only=[last])
    assert [f.id for f in (*unknown.value.findings, *order.value.findings)] == ["deploy.M053", "deploy.M055"]


def test_reverses_the_given_migrations(app: Shop, deployed: str) -> None:
    before = schema_fingerprint(deployed)
    keys = [app.write("0002_memo", ADD), app.write("0003_data", SLEEP.format(0))]
    run_all(deployed)
    done = reverse(conf(), alias=deployed, migrations=keys, guard=nothing, step=Step("reverse"))
    assert done == keys[::-1]
    assert schema_fingerprint(deployed) == before
    assert reverse(conf(), alias=deployed, migrations=keys, guard=nothing, step=Step("reverse")) == []


def test_refuses_to_reverse_before_it_changed_anything(app: Shop, deployed: str) -> None:
    keys = [app.write("0002_one_way", 'migrations.RunSQL("SELECT 1")'), app.write("0003_memo", ADD)]
    run_all(deployed)
    with pytest.raises(Refusal) as one_way:
        reverse(conf(), alias=deployed, migrations=keys, guard=nothing, step=Step("reverse"))
    with pytest.raises(Refusal) as needed:
        reverse(conf(), alias=deployed, migrations=keys[:1], guard=nothing, step=Step("reverse"))
    assert [f.id for f in (*one_way.value.findings, *needed.value.findings)] == ["deploy.M054", "deploy.M056"]
    assert plan.pending(plan.load(deployed)) == []


def test_one_applier_at_a_time_on_sqlite(tmp_path: Path) -> None:
    with shop(tmp_path) as app, sqlite(tmp_path / "db.sqlite3") as alias:
        app.write("0001_initial", INITIAL)
        app.write("0002_memo", ADD)
        answers = [answer(process) for process in [start(app, alias) for _ in range(3)]]
        assert sorted(n for one in answers for n in one["applied"]) == ["0001_initial", "0002_memo"]
        before = schema_fingerprint(alias)
        app.write("0003_more", 'migrations.AddField("order", "more", models.TextField(null=True))')
        run_all(alias)
        assert schema_fingerprint(alias) != before
