"""The limits on what a migration sends: on every connection and statement, and off where it takes long."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connections
from django.db.models.signals import pre_migrate

from deploy.databases.scratch import database_alias
from deploy.gate.graph import plan
from deploy.reporting.report import Step

from .project import Shop, query, run_all
from .test_apply import answer, other_session, refusal, start

ADD = 'migrations.AddField("order", "memo", models.TextField(null=True)),'
SLOW = (
    "CREATE FUNCTION slow(n integer) RETURNS integer IMMUTABLE LANGUAGE sql"
    " AS 'SELECT n FROM (SELECT pg_sleep(0.02)) AS s'"
)


def limits_seen(alias: str) -> dict[str, list[tuple[str, str]]]:
    """lock_timeout and statement_timeout while a statement runs, by its first words, over the next run."""
    seen: dict[str, list[tuple[str, str]]] = {}

    def watch(execute, sql, params, many, context):
        with connections[alias].connection.cursor() as cursor:
            found = cursor.execute(
                "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
            ).fetchone()
        seen.setdefault(" ".join(str(sql).replace('"', "").split()[:3]), []).append(found)
        return execute(sql, params, many, context)

    # Within the applier's own wrapper, which is there when the first migration begins.
    def begin(**_: object) -> None:
        connections[alias].execute_wrappers.append(watch)

    pre_migrate.connect(begin, weak=False, dispatch_uid="limits_seen")
    return seen


@pytest.fixture(autouse=True)
def _no_watch_stays(database: str):
    yield
    pre_migrate.disconnect(dispatch_uid="limits_seen")
    connections[database].execute_wrappers.clear()


def milliseconds(value: str) -> int:
    number = int(value.rstrip("mins "))
    return number if value.endswith("ms") else number * 1000 * (60 if value.endswith("min") else 1)


def test_a_second_lock_is_given_up_before_a_client_would_be_ended_as_a_deadlock(
    app: Shop, deployed: str
) -> None:
    app.write("0002_two", ADD + 'migrations.AddField("customer", "memo", models.TextField(null=True)),')
    seen = limits_seen(deployed)
    run_all(deployed)
    ((first, _),), ((second, _),) = seen["ALTER TABLE shop_order"], seen["ALTER TABLE shop_customer"]
    assert milliseconds(first) == 500  # a quarter of the limit in the first attempt
    assert milliseconds(second) <= 500  # half of deadlock_timeout


def test_a_client_that_waits_in_a_circle_is_not_the_one_that_fails(app: Shop, deployed: str) -> None:
    """The migration has the orders and wants the customers; the client has customers and wants the orders."""
    app.write("0002_two", ADD + 'migrations.AddField("customer", "memo", models.TextField(null=True)),')
    answers: list[object] = []
    with other_session(deployed) as client, ThreadPoolExecutor(1) as pool:

        def meet(execute, sql, params, many, context):
            if 'ALTER TABLE "shop_customer"' in str(sql) and not answers:
                client.execute("UPDATE shop_customer SET name = 'x' WHERE id = 1")
                answers.append(pool.submit(_read_and_commit, client))
                time.sleep(0.2)  # the client waits now, and looks for a circle in 0.8 s
            return execute(sql, params, many, context)

        pre_migrate.connect(
            lambda **_: connections[deployed].execute_wrappers.append(meet),
            weak=False, dispatch_uid="limits_seen",
        )  # fmt: skip
        step = Step("apply")
        run_all(deployed, step=step)
        assert answers[0].result() == (50,)
    assert step.facts["migrations"]["shop.0002_two"]["attempts"] == 2


def _read_and_commit(client: psycopg.Connection) -> object:
    found = client.execute("SELECT count(*) FROM shop_order").fetchone()
    client.commit()
    return found


def test_only_what_stops_writers_has_a_short_statement_timeout(app: Shop, deployed: str) -> None:
    check = (
        "migrations.RunSQL('ALTER TABLE shop_order ADD CONSTRAINT positive CHECK (total > 0) NOT VALID',"
        " migrations.RunSQL.noop),"
    )
    validate = (
        "migrations.RunSQL('ALTER TABLE shop_order VALIDATE CONSTRAINT positive', migrations.RunSQL.noop),"
    )
    data = "migrations.RunSQL('UPDATE shop_order SET total = 1', migrations.RunSQL.noop),"
    index = 'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx")),'
    app.write("0002_check", check)
    app.write("0003_validate", validate + data)
    app.write("0004_index", index, atomic=False)
    database = connections.settings[deployed]["NAME"]
    query(deployed, f"ALTER DATABASE {database} SET statement_timeout = '31s'")
    connections[deployed].close()
    seen = limits_seen(deployed)
    run_all(deployed, apply_timeout_seconds=600)
    (add, scan), build = seen["ALTER TABLE shop_order"], seen["CREATE INDEX CONCURRENTLY"][0]
    assert [milliseconds(value) for value in add] == [500, 15500]
    assert milliseconds(scan[0]) == 2000
    assert 500_000 < milliseconds(scan[1]) <= 600_000
    assert milliseconds(build[0]) == 0
    assert 500_000 < milliseconds(build[1]) <= 600_000
    assert seen["UPDATE shop_order SET"] == [("2s", "31s")]
    assert query(
        deployed, "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
    ) == [("0", "31s")]


def test_a_statement_that_keeps_writers_out_for_too_long_is_cancelled_and_said(
    app: Shop, deployed: str
) -> None:
    query(deployed, SLOW)
    rewrite = "ALTER TABLE shop_order ALTER total TYPE bigint USING slow(total)"
    app.write("0002_long", ADD + f"migrations.RunSQL({rewrite!r}, migrations.RunSQL.noop)")
    (finding,) = refusal(deployed, statement_timeout_seconds=0.3).findings
    assert (finding.id, finding.place) == ("deploy.M063", "shop.0002_long")
    assert "writers of shop_order ran for more than 0.3 s" in finding.message
    assert "was rolled back" in finding.message
    assert query(deployed, "SHOW statement_timeout") == [("0",)]
    run_all(deployed, statement_timeout_seconds=0)


def test_a_table_of_the_same_migration_may_be_filled_and_changed_at_length(app: Shop, deployed: str) -> None:
    query(deployed, SLOW)
    script = (
        "CREATE TABLE big AS SELECT total FROM shop_order",
        "CREATE TABLE mine (total integer)",
        "INSERT INTO mine SELECT total FROM shop_order",
        "ALTER TABLE mine ALTER total TYPE bigint USING slow(total)",
    )
    app.write("0002_new", "".join(f"migrations.RunSQL({one!r}, migrations.RunSQL.noop)," for one in script))
    run_all(deployed, statement_timeout_seconds=0.3)


ELSEWHERE = """
import threading
from django.db import connections

def add():  # known when it runs only: what stands in the text is looked at before
    return "txet omem DDA remotsuc_pohs ELBAT RETLA"[::-1]

def other_alias(apps, editor):
    connections["gate_other"].cursor().execute(add())

def other_thread(apps, editor):
    caught = []
    def work():
        connection = connections[editor.connection.alias]
        try:
            connection.cursor().execute(add())
        except Exception as error:
            caught.append(error)
        finally:
            connection.close()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    if thread.is_alive():
        raise RuntimeError("it waits without a limit")
    if caught:
        raise caught[0]
"""


@pytest.mark.parametrize("function", ["other_alias", "other_thread"])
@pytest.mark.parametrize("is_open", [True, False], ids=["open before", "opened in it"])
def test_no_connection_of_a_run_python_escapes_the_lock_timeout(
    function: str, is_open: bool, app: Shop, deployed: str
) -> None:
    app.write("0002_data", f"migrations.RunPython({function}, migrations.RunPython.noop)", head=ELSEWHERE)
    name = connections.settings[deployed]["NAME"]
    with (
        database_alias(deployed, name, alias="gate_other") as other,
        other_session(deployed) as reader,
    ):
        if is_open:
            query(other, "SELECT 1")
        reader.execute("SELECT count(*) FROM shop_customer")
        found = refusal(deployed, statement_lock_timeout_seconds=0.2, apply_timeout_seconds=1)
        assert [one.id for one in found.findings] == ["deploy.M051"], found
        if is_open:
            assert query(other, "SHOW lock_timeout") == [("0",)]


def test_a_script_cannot_take_the_limit_away_for_its_own_statements(app: Shop, deployed: str) -> None:
    app.write(
        "0002_script", "migrations.RunSQL('SET lock_timeout = 0; ALTER TABLE shop_order ADD memo text')"
    )
    (finding,) = refusal(deployed).findings
    assert (finding.id, finding.place) == ("deploy.M031", "shop.0002_script")
    assert plan.pending(plan.load(deployed)) == [("shop", "0002_script")]


def test_a_unique_index_that_cannot_be_built_does_not_stay_to_refuse_rows(app: Shop, deployed: str) -> None:
    query(deployed, "UPDATE shop_order SET total = 7")
    build = "CREATE UNIQUE INDEX CONCURRENTLY total_once ON shop_order (total)"
    app.write("0002_unique", f"migrations.RunSQL({build!r}, migrations.RunSQL.noop)", atomic=False)
    (finding,) = refusal(deployed).findings
    assert finding.id == "deploy.M052"
    assert query(deployed, "SELECT 1 FROM pg_class WHERE relname = 'total_once'") == []


@pytest.mark.parametrize(
    ("statement", "half_done", "wanted"),
    [
        (
            "CREATE INDEX CONCURRENTLY added ON shop_order (total)",
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('added') AND NOT indisvalid",
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('added') AND indisvalid",
        ),
        (
            "DROP INDEX CONCURRENTLY note_idx",
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('note_idx') AND NOT indisvalid",
            "SELECT 1 WHERE to_regclass('note_idx') IS NULL",
        ),
        (
            "REINDEX INDEX CONCURRENTLY note_idx",
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('note_idx_ccnew') AND NOT indisvalid",
            "SELECT 1 FROM pg_class WHERE relname LIKE 'note_idx%'",
        ),
        (
            "REINDEX TABLE CONCURRENTLY shop_order",
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('note_idx_ccnew') AND NOT indisvalid",
            "SELECT 1 FROM pg_class WHERE relname LIKE 'note_idx%'",
        ),
        (
            "ALTER TABLE part DETACH PARTITION part_1 CONCURRENTLY",
            "SELECT 1 FROM pg_inherits WHERE inhdetachpending",
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'part_1'::regclass)",
        ),
    ],
    ids=["create", "drop", "reindex an index", "reindex a table", "detach"],
)
def test_what_was_killed_while_it_waited_for_others_is_done_in_the_end(
    statement: str, half_done: str, wanted: str, app: Shop, deployed: str
) -> None:
    query(deployed, "CREATE INDEX note_idx ON shop_order (note)")
    query(deployed, "CREATE TABLE part (id int) PARTITION BY RANGE (id)")
    query(deployed, "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9)")
    app.write("0002_beside", f"migrations.RunSQL({statement!r}, migrations.RunSQL.noop)", atomic=False)
    with other_session(deployed) as writer:
        writer.execute("UPDATE shop_order SET total = total; SELECT FROM part")
        process = start(app, deployed)
        pid = _until_it_waits(deployed)
        process.kill()
        query(deployed, f"SELECT pg_terminate_backend({pid}, 10000)")
        process.communicate()
    assert len(query(deployed, half_done)) == 1
    step = Step("apply")
    run_all(deployed, step=step)
    assert len(query(deployed, wanted)) == 1
    assert query(deployed, "SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    assert plan.pending(plan.load(deployed)) == []


def _until_it_waits(alias: str) -> int:
    for _ in range(400):
        found = query(
            alias,
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%CONCURRENTLY%' AND wait_event_type = 'Lock'"
            " AND wait_event = 'virtualxid' AND datname = current_database()",
        )
        if found:
            return int(str(found[0][0]))
        time.sleep(0.05)
    raise AssertionError("it never came to wait for old snapshots")


def test_six_processes_at_once_on_an_empty_database_apply_each_migration_once(
    app: Shop, database: str
) -> None:
    app.write("0002_memo", ADD)
    answers = [answer(process) for process in [start(app, database) for _ in range(6)]]
    applied = [one["applied"] for one in answers]
    assert sorted(applied) == [[]] * 5 + [["0001_initial", "0002_memo"]]
