"""Before a lock is asked for: who is in the way, on which tables, and that waiting for them stops nobody."""

import threading
import time

import psycopg
import pytest
from django.db import connections

from deploy.gate.applying.blockers import Blocker, holders, shape
from deploy.gate.applying.lookout import InTheWay, Lookout
from deploy.gate.sql.effects import effects
from deploy.gate.sql.locks import Wanted, wanted
from deploy.reporting.report import Step

from .project import Shop, query, run_all
from .test_apply import other_session, refusal

BOTH = (
    'migrations.AddField("order", "memo", models.TextField(null=True)),'
    'migrations.AddField("customer", "memo", models.TextField(null=True)),'
)
IN_PYTHON = """
def both(apps, editor):
    for table in ("redro_pohs", "remotsuc_pohs"):  # not to be read from the text
        editor.execute(f"ALTER TABLE {table[::-1]} ADD memo text")
"""


def session(alias: str) -> psycopg.Connection:
    connections[alias].ensure_connection()
    return connections[alias].connection


def held_by(other: psycopg.Connection, alias: str, statement: str) -> list[int | None]:
    """Whom the locks of a statement would have to wait for."""
    found = holders(session(alias), wanted(effects(statement)))
    return [one.pid for one in found if one.pid == other.info.backend_pid]


@pytest.mark.parametrize(
    ("operations", "head"),
    [(BOTH, ""), ("migrations.RunPython(both, migrations.RunPython.noop)", IN_PYTHON)],
    ids=["known before", "known when it is sent"],
)
def test_holds_no_lock_while_it_waits_for_another_table(
    operations: str, head: str, app: Shop, deployed: str
) -> None:
    app.write("0002_both", operations, head=head)
    step = Step("apply")
    locked: list[object] = []

    def watch(reader: psycopg.Connection) -> None:
        with other_session(deployed) as watcher:
            watcher.autocommit = True
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                locked.append(
                    watcher.execute(
                        "SELECT count(*) FROM pg_locks WHERE relation = 'shop_order'::regclass"
                        " AND mode = 'AccessExclusiveLock' AND NOT pid = pg_backend_pid()"
                    ).fetchone()[0]
                )
                time.sleep(0.05)
        reader.rollback()

    with other_session(deployed) as reader:
        reader.execute("SELECT count(*) FROM shop_customer")
        time.sleep(0.6)
        thread = threading.Thread(target=watch, args=(reader,))
        thread.start()
        run_all(deployed, step=step, statement_lock_timeout_seconds=0.4)
        thread.join()
    assert len(locked) > 10
    assert sum(locked) <= 1  # the instant in which a RunPython finds out
    assert step.facts["waited_seconds"] > 0
    assert [met.partition(":")[0] for met in step.facts["waited_for"]] == ["shop_customer"]


def test_who_has_other_tables_or_none_is_not_waited_for(app: Shop, deployed: str) -> None:
    app.write("0002_memo", 'migrations.AddField("order", "memo", models.TextField(null=True))')
    step = Step("apply")
    with other_session(deployed) as reader, other_session(deployed) as idler:
        reader.execute("SELECT count(*) FROM shop_customer")
        idler.execute("SELECT 1")
        time.sleep(0.3)
        run_all(deployed, step=step, statement_lock_timeout_seconds=0.1, apply_timeout_seconds=5)
    assert "waited_for" not in step.facts


def test_names_session_user_age_state_and_the_shape_of_its_query(app: Shop, deployed: str) -> None:
    app.write("0002_memo", 'migrations.AddField("order", "memo", models.TextField(null=True))')
    with other_session(deployed) as reader:
        reader.execute("SELECT note FROM shop_order WHERE note = 'confidential' /* for bob */ LIMIT 99")
        found = refusal(deployed, statement_lock_timeout_seconds=0.1, apply_timeout_seconds=1)
        user = reader.info.user
    (finding,) = found.findings
    assert finding.id == "deploy.M062"
    assert f"user {user}, idle in transaction, transaction open for " in finding.message
    assert "last statement: SELECT note FROM shop_order WHERE note = ? LIMIT ?)" in finding.message
    assert not {"confidential", "bob", "99"} & set(finding.message.replace("'", " ").split())


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("SELECT 'a''b', E'\\'', $1, $$x$$, 1.5 -- end", "SELECT ? , ? , $1 , ? , ?"),
        ("UPDATE t SET name = 'cut o", "UPDATE t SET name ="),
        ("SELECT /* cut", "SELECT"),
        ("NOTIFY jobs, 'payload'", "NOTIFY jobs , ?"),
        ("SELECT \"Größe\" FROM größen WHERE x = 'ü'", 'SELECT "Größe" FROM größen WHERE x = ?'),
        ("<insufficient privilege>", ""),
        ("'", ""),
        ("", ""),
    ],
)
def test_a_query_is_shown_without_its_values(query: str, seen: str) -> None:
    assert shape(query) == seen


def test_what_cannot_be_ended_is_said_with_what_helps() -> None:
    vacuum = Blocker(7, "3/1", "shop_order", age_seconds=90, wraparound=True)
    assert str(vacuum) == "pid 7 (autovacuum to prevent wraparound, open for 90 s)"
    assert "terminate" not in vacuum.remedy
    prepared = Blocker(None, "-1/99", "shop_order", user="shop", age_seconds=5, prepared="it's")
    assert str(prepared) == 'prepared transaction "it\'s" (user shop, open for 5 s)'
    assert prepared.remedy == "ROLLBACK PREPARED 'it''s';"


def test_looks_at_every_table_that_gets_the_lock(deployed: str) -> None:
    query(deployed, "CREATE TABLE part (id int) PARTITION BY RANGE (id)")
    query(deployed, "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9)")
    query(deployed, "CREATE INDEX note_idx ON shop_order (note)")
    (name,) = query(deployed, "SELECT conname FROM pg_constraint WHERE contype = 'f'")[0]
    with other_session(deployed) as reader:
        reader.execute("SELECT FROM part_1")
        assert held_by(reader, deployed, "ALTER TABLE part ADD memo text")
        reader.rollback()
        reader.execute("SELECT FROM part_1")
        assert held_by(reader, deployed, "ALTER TABLE part DETACH PARTITION part_1")
        assert not held_by(reader, deployed, "ALTER TABLE part DETACH PARTITION part_1 CONCURRENTLY")
        reader.rollback()
        reader.execute("SELECT FROM shop_customer")
        for drop in (
            "DROP TABLE shop_order",
            f"ALTER TABLE shop_order DROP CONSTRAINT {name}",
            "ALTER TABLE shop_order DROP COLUMN customer_id",
        ):
            assert held_by(reader, deployed, drop), drop
        assert not held_by(reader, deployed, "ALTER TABLE shop_order DROP COLUMN note")
        assert not held_by(reader, deployed, "ALTER TABLE shop_order ADD FOREIGN KEY (total) REFERENCES"
                           " shop_customer (id)")  # fmt: skip
        reader.execute("UPDATE shop_customer SET name = name")
        assert held_by(reader, deployed, "ALTER TABLE shop_order ADD FOREIGN KEY (total) REFERENCES"
                       " shop_customer (id)")  # fmt: skip
        reader.rollback()
        reader.execute("SELECT FROM shop_order")
        assert held_by(reader, deployed, "DROP INDEX note_idx")
        for harmless in (
            "CREATE INDEX x ON shop_order (total)",  # readers may go on
            "CREATE INDEX CONCURRENTLY x ON shop_order (total)",
            "DROP INDEX CONCURRENTLY note_idx",
            "ALTER TABLE shop_order VALIDATE CONSTRAINT x",
            "UPDATE shop_order SET total = 0",
        ):
            assert not held_by(reader, deployed, harmless), harmless
        reader.execute("DELETE FROM shop_order WHERE id = 0")
        assert held_by(reader, deployed, "CREATE INDEX x ON shop_order (total)")
        assert held_by(reader, deployed, "REINDEX INDEX note_idx")
        assert held_by(reader, deployed, "REINDEX TABLE shop_order")
        assert not held_by(reader, deployed, "LOCK TABLE shop_order IN ROW SHARE MODE")


def test_a_table_that_is_new_is_nobody_elses() -> None:
    script = "CREATE TABLE a (id int); CREATE INDEX i ON a (id); ALTER TABLE b ADD x int"
    assert wanted(effects(script)) == (Wanted("b"),)


def test_a_role_that_sees_no_ages_measures_them_itself(deployed: str) -> None:
    role = f"blind_{time.monotonic_ns()}"
    entry = connections.settings[deployed]
    query(deployed, f"CREATE ROLE {role} LOGIN")
    try:
        address = {"host": entry["HOST"], "port": entry.get("PORT"), "dbname": entry["NAME"]}
        with (
            psycopg.connect(**{k: v for k, v in address.items() if v}, user=role, autocommit=True) as blind,
            other_session(deployed) as reader,
        ):
            reader.execute("SELECT FROM shop_order")
            (one,) = holders(blind, [Wanted("shop_order")])
            assert (one.pid, one.age_seconds, one.query) == (reader.info.backend_pid, None, "")
            assert "(old_report, user " in str(one)
            assert "of unknown age" in str(one)
            lookout = Lookout(limit_seconds=0.2)
            lookout.require_clear(blind, [Wanted("shop_order")])
            time.sleep(0.25)
            with pytest.raises(InTheWay):
                lookout.require_clear(blind, [Wanted("shop_order")])
            reader.rollback()
            lookout.require_clear(blind, [Wanted("shop_order")])
    finally:
        query(deployed, f"DROP ROLE {role}")


def test_a_table_that_somebody_always_uses_is_not_waited_for_without_end(deployed: str) -> None:
    """Transactions of half the limit and more, one after the other: each ends before the limit."""
    stop = threading.Event()

    def use(delay_seconds: float) -> None:
        time.sleep(delay_seconds)
        with other_session(deployed) as user:
            while not stop.is_set():
                user.execute("SELECT FROM shop_order")
                time.sleep(0.35)
                user.rollback()

    users = [threading.Thread(target=use, args=(delay,)) for delay in (0, 0.1, 0.2, 0.3)]
    for one in users:
        one.start()
    try:
        time.sleep(0.4)
        end = time.monotonic() + 20
        assert Lookout(limit_seconds=0.5).wait(session(deployed), [Wanted("shop_order")], deadline=end) == []
    finally:
        stop.set()
        for one in users:
            one.join()
