"""The start hook: what a container of this image waits for, and what not."""

import socket
import threading
import time
from pathlib import Path

import pytest
from django.db import connections

from deploy.databases.scratch import database_alias
from deploy.gate.applying.wait import wait
from deploy.gate.graph import plan
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .project import INITIAL, Shop, conf, query, run_all, shop, sqlite

ADD = 'migrations.AddField("order", "memo", models.TextField(null=True))'


def waited(alias: str, seconds: float = 0.3) -> Step:
    step = Step("wait")
    wait(conf(database=alias), alias=alias, timeout_seconds=seconds, step=step)
    return step


def test_returns_when_all_is_applied_also_when_the_database_is_newer(app: Shop, deployed: str) -> None:
    waited(deployed)
    query(deployed, "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0099_newer', now())")
    waited(deployed)


def test_names_what_is_missing_after_the_limit(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    with pytest.raises(Refusal) as caught:
        waited(deployed)
    (finding,) = caught.value.findings
    assert (finding.id, caught.value.exit_code) == ("deploy.M060", 1)
    assert "shop.0002_memo" in finding.message


def test_goes_on_as_soon_as_the_migration_is_there(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    body = "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_memo', now())"

    def record() -> None:
        query(deployed, body)
        connections[deployed].close()

    timer = threading.Timer(0.3, record)
    timer.start()
    try:
        assert waited(deployed, seconds=10).facts["waited_seconds"] < 5
    finally:
        timer.join()


def test_does_not_wait_for_contract_migrations(app: Shop, deployed: str) -> None:
    """They run in postdeploy, when the containers that wait here must already serve."""
    app.write("0002_drop", 'migrations.RemoveField("order", "paid")')
    assert waited(deployed).facts["postponed"] == ["shop.0002_drop"]


def test_waits_for_a_refused_migration_that_the_new_code_needs(app: Shop, deployed: str) -> None:
    app.write("0002_rename", 'migrations.RenameField("order", "note", "remark")')
    with pytest.raises(Refusal):
        waited(deployed)


def test_does_not_wait_for_the_drop_of_what_the_state_forgot_before(app: Shop, deployed: str) -> None:
    removal = 'migrations.SeparateDatabaseAndState([], [migrations.RemoveField("order", "paid")])'
    forget = app.write("0002_forget", removal)
    run_all(deployed, only=[forget])
    app.write("0003_drop", "migrations.RunSQL('ALTER TABLE shop_order DROP COLUMN paid', '')")
    assert waited(deployed).facts["postponed"] == ["shop.0003_drop"]


def test_a_database_that_never_answers_is_named(app: Shop) -> None:
    absent = database_alias("default", "gate_no_such_database", alias="gate_absent")
    with absent as alias, pytest.raises(Refusal) as caught:
        waited(alias)
    assert [finding.id for finding in caught.value.findings] == ["deploy.M061"]


def test_waits_for_a_fresh_database_to_be_made(tmp_path: Path) -> None:
    with shop(tmp_path) as app, sqlite(tmp_path / "new.sqlite3") as alias:
        app.write(
            "0001_first", 'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True))])'
        )
        with pytest.raises(Refusal):
            waited(alias)
        run_all(alias)
        waited(alias)


def test_waits_for_a_database_that_comes_up_late(app: Shop, database: str) -> None:
    name = f"{connections.settings[database]['NAME']}_late"
    keys = plan.pending(plan.load(database))

    def come_up() -> None:
        query(database, f"CREATE DATABASE {name}")
        with database_alias("default", name, alias="gate_early") as early:
            run_all(early, only=keys)
        connections[database].close()

    timer = threading.Timer(0.7, come_up)
    with database_alias("default", name, alias="gate_late") as late:
        timer.start()
        try:
            assert waited(late, seconds=30).facts["waited_seconds"] > 0.5
        finally:
            timer.join()
            connections[late].close()
            query(database, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_without_djangos_table_lacks_everything(app: Shop, database: str) -> None:
    with pytest.raises(Refusal) as caught:
        waited(database)
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M060"
    assert "shop.0001_initial" in finding.message


SQUASHED = """
    replaces = [("shop", "0001_initial"), ("shop", "0002_memo"), ("shop", "0003_more")]
"""


def test_a_squash_is_there_when_its_parts_are_and_is_awaited_by_those_that_lack(
    app: Shop, deployed: str
) -> None:
    memo = app.write("0002_memo", ADD)
    app.write("0003_more", 'migrations.AddField("order", "more", models.TextField(null=True))')
    run_all(deployed, only=[memo])
    app.names.clear()
    app.write("0001_squashed", INITIAL + ADD)
    file = app.root / app.package / "migrations" / "0001_squashed.py"
    file.write_text(file.read_text().replace("    atomic", f"{SQUASHED.lstrip(chr(10))}    atomic"))
    with pytest.raises(Refusal) as caught:
        waited(deployed)
    assert [finding.message.rpartition(": ")[2] for finding in caught.value.findings] == ["shop.0003_more."]

    body = "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0003_more', now())"

    def record() -> None:
        query(deployed, body)
        connections[deployed].close()

    timer = threading.Timer(0.5, record)
    timer.start()
    try:
        assert waited(deployed, seconds=20).facts["postponed"] == []
    finally:
        timer.join()


def test_a_poll_costs_one_select(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    sent: list[str] = []

    def count(execute, sql, params, many, context):
        sent.append(str(sql))
        return execute(sql, params, many, context)

    with connections[deployed].execute_wrapper(count), pytest.raises(Refusal):
        waited(deployed, seconds=0)
    first = len(sent)
    sent.clear()
    with connections[deployed].execute_wrapper(count), pytest.raises(Refusal):
        waited(deployed, seconds=3)
    polls = sent[first:]
    assert len(polls) >= 3
    assert {sql.partition(" FROM ")[2] for sql in polls} == {'"django_migrations"'}


def test_an_address_that_accepts_and_never_answers_is_given_up_at_the_limit(app: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        entry = connections.settings["default"]
        address = {"HOST": "127.0.0.1", "PORT": str(mute.getsockname()[1]), "OPTIONS": {}}
        connections.settings["gate_mute"] = {**entry, **address}
        began = time.monotonic()
        try:
            with pytest.raises(Refusal) as caught:
                waited("gate_mute", seconds=1)
            assert connections["gate_mute"].settings_dict["OPTIONS"] == {}
        finally:
            connections["gate_mute"].close()
            del connections["gate_mute"]
            del connections.settings["gate_mute"]
        assert time.monotonic() - began < 60, "the driver's own limit is 130 s"
    assert [finding.id for finding in caught.value.findings] == ["deploy.M061"]
