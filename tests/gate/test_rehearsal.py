"""Rehearsals on real copies: what they observe, and which way back they promise."""

from pathlib import Path

import pytest
from django.db import connections

from deploy.gate.rehearsing.rehearsal import Rehearsal, rehearse
from deploy.gate.schema import schema_fingerprint
from deploy.gate.static.judgement import GateReport
from deploy.reporting.report import Step

from .project import Shop, conf, judged, query, run_all, shop, sqlite

ADD = 'migrations.AddField("order", "memo", models.TextField(null=True))'


def rehearsed(alias: str, report: GateReport | None = None, **changes: object) -> Rehearsal:
    found = report or judged(alias)
    return rehearse(
        conf(database=alias, **changes), alias=alias, gate=found, deployed=None, step=Step("rehearse")
    )


def forced(alias: str, phase: str = "expand") -> GateReport:
    """A report that puts everything into one phase, as if the static check had seen no danger."""
    found = judged(alias)
    expand, contract = (found.pending, ()) if phase == "expand" else ((), found.pending)
    return GateReport(found.pending, expand, contract, (), found.plan_fingerprint)


def ids(result: Rehearsal, *levels: str) -> list[str]:
    return [f.id for f in result.findings if f.level in (levels or ("error", "warning"))]


def test_a_good_migration_leaves_the_old_code_working(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    before = schema_fingerprint(deployed)
    result = rehearsed(deployed)
    assert ids(result) == []
    assert result.verdict == "switch"
    assert result.models == 2
    assert result.reversed_cleanly is True
    assert result.redone_cleanly is True
    assert result.code_first is False
    assert schema_fingerprint(deployed) != before
    statement, _record = result.statements["shop.0002_memo"]
    assert statement.locks == {"shop_order": "ACCESS EXCLUSIVE"}


def test_nothing_that_the_exercise_writes_stays(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    rehearsed(deployed)
    assert query(
        deployed, "SELECT (SELECT count(*) FROM shop_order), (SELECT count(*) FROM shop_customer)"
    ) == [(50, 50)]


@pytest.mark.parametrize(
    ("operations", "statement", "verdict"),
    [
        (
            'migrations.AddField("order", "memo", models.TextField(default="x"))',
            "INSERT shop.Order",
            "reverse",
        ),
        ('migrations.RenameField("order", "note", "remark")', "SELECT shop.Order", "reverse"),
        ('migrations.RunSQL("DROP TABLE shop_order")', "DELETE shop.Order", "restore"),
        ("migrations.RunSQL('ALTER TABLE shop_order ADD CHECK (total < 60)', '')", None, "switch"),
        (
            "migrations.RunSQL('ALTER TABLE shop_order ADD CHECK (total < 0) NOT VALID', '')",
            "UPDATE shop.Order",
            "reverse",
        ),
    ],
)
def test_tells_what_the_old_code_can_no_longer_do(
    operations: str, statement: str | None, verdict: str, app: Shop, deployed: str
) -> None:
    app.write("0002_case", operations)
    result = rehearsed(deployed, forced(deployed))
    broken = [finding.message for finding in result.findings if finding.id == "deploy.M041"]
    if statement is None:
        assert not broken
    else:
        verb, model = statement.split()
        assert any(verb in said and f" {model}:" in said for said in broken), result.findings
    assert result.verdict == verdict


def test_the_new_code_must_work_before_the_contract_migrations(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    result = rehearsed(deployed, forced(deployed, "contract"))
    assert "deploy.M042" in ids(result, "error")


def test_after_a_dropped_column_only_the_backup_leads_back(app: Shop, deployed: str) -> None:
    app.write("0002_drop", 'migrations.RemoveField("order", "paid")')
    result = rehearsed(deployed)
    assert ids(result, "error") == []
    assert (result.verdict, result.verdict_after_contract) == ("switch", "restore")


def test_a_migration_that_fails_on_the_data_is_found_without_showing_the_data(
    app: Shop, deployed: str
) -> None:
    query(deployed, "UPDATE shop_order SET note = 'confidential'")
    app.write(
        "0002_type", 'migrations.RunSQL("ALTER TABLE shop_order ALTER note TYPE integer USING note::integer")'
    )
    result = rehearsed(deployed, forced(deployed))
    (finding,) = result.findings
    assert finding.id == "deploy.M040"
    assert "invalid input syntax" in finding.message
    assert "confidential" not in finding.message
    assert result.verdict == "restore"


def test_reports_a_rewrite_and_a_lock_held_too_long(app: Shop, deployed: str) -> None:
    app.write(
        "0002_big",
        'migrations.AlterField("order", "total", models.BigIntegerField()),'
        'migrations.RunSQL("SELECT pg_sleep(0.3)", migrations.RunSQL.noop)',
    )
    result = rehearsed(deployed, statement_lock_timeout_seconds=0.2)
    assert ids(result) == ["deploy.M043", "deploy.M044"]
    assert "shop_order" in result.findings[0].message
    assert result.statements["shop.0002_big"][0].rewritten == ("shop_order",)


@pytest.mark.parametrize(
    ("change", "level"), [("ADD memo text", "info"), ("ALTER total SET DEFAULT 5", "warning")]
)
def test_a_reverse_that_does_not_restore_the_schema_is_reported(
    change: str, level: str, app: Shop, deployed: str
) -> None:
    app.write("0002_half", f'migrations.RunSQL("ALTER TABLE shop_order {change}", migrations.RunSQL.noop)')
    result = rehearsed(deployed)
    (found,) = [finding for finding in result.findings if finding.id == "deploy.M045"]
    assert found.level == level
    assert change.split()[1] in found.message


def test_a_model_that_cannot_be_exercised_is_said_and_not_blamed(app: Shop, deployed: str) -> None:
    query(deployed, "ALTER TABLE shop_order ADD CONSTRAINT odd CHECK (note <> 'n') NOT VALID")
    app.write("0002_memo", ADD)
    result = rehearsed(deployed)
    assert "deploy.M041" not in ids(result)
    assert "deploy.M046" in ids(result, "info")


def test_data_migrations_cannot_reach_the_live_database(app: Shop, deployed: str, tmp_path: Path) -> None:
    """`Model.objects` without `.using()` writes to the configured alias: in a rehearsal, that is the copy."""
    from .project import postgres

    head = """
        def fill(apps, editor):
            apps.get_model('shop', 'Order').objects.using('gate_test').update(note='done')
    """
    with postgres("gate_scratch") as scratch:
        run_all(scratch)
        query(scratch, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        query(scratch, "INSERT INTO shop_order (note, total, customer_id) VALUES ('n', 1, 1)")
        app.write("0002_fill", "migrations.RunPython(fill, migrations.RunPython.noop)", head=head)
        live = connections[deployed]
        found = judged(scratch)
        rehearse(conf(database=deployed), alias=scratch, gate=found, deployed=None, step=Step("r"))
        assert connections[deployed] is live
        assert query(scratch, "SELECT DISTINCT note FROM shop_order") == [("done",)]
    assert query(deployed, "SELECT DISTINCT note FROM shop_order") == [("n",)]


def test_other_databases_refuse_during_a_rehearsal(app: Shop, deployed: str) -> None:
    head = "def reach(apps, editor): apps.get_model('shop', 'Order').objects.using('default').count()"
    app.write("0002_reach", "migrations.RunPython(reach, migrations.RunPython.noop)", head=head)
    from .project import postgres

    with postgres("gate_scratch") as scratch:
        run_all(scratch, only=[("shop", "0001_initial")])
        found = judged(scratch)
        result = rehearse(conf(database=deployed), alias=scratch, gate=found, deployed=None, step=Step("r"))
    assert ids(result, "error") == ["deploy.M040"]


def test_non_atomic_migrations_are_rehearsed(app: Shop, deployed: str) -> None:
    index = 'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx"))'
    app.write("0002_index", index, atomic=False)
    result = rehearsed(deployed)
    assert ids(result) == []
    assert result.reversed_cleanly


def test_rehearses_on_sqlite(tmp_path: Path) -> None:
    with shop(tmp_path) as app, sqlite(tmp_path / "db.sqlite3") as alias:
        from .project import INITIAL

        app.write("0001_initial", INITIAL)
        run_all(alias)
        query(alias, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        app.write("0002_memo", ADD)
        app.write("0003_rename", 'migrations.RenameField("order", "note", "remark")')
        assert {f.id for f in judged(alias).findings} == {"deploy.M001"}
        result = rehearsed(alias, forced(alias))
        assert "deploy.M041" in ids(result, "error")
        assert result.verdict == "reverse"
        assert result.reversed_cleanly


@pytest.mark.parametrize(
    ("forwards", "backwards"),
    [
        ("ALTER TABLE shop_order VALIDATE CONSTRAINT few", ""),
        ("ALTER TYPE mood ADD VALUE 'glad' AFTER 'calm'", ""),
        (
            "ALTER TABLE shop_order DROP CONSTRAINT few",
            "ALTER TABLE shop_order ADD CONSTRAINT fewer CHECK (total < 99)",
        ),
    ],
)  # fmt: skip
def test_what_comes_back_but_for_what_nobody_notices_is_no_warning(
    forwards: str, backwards: str, app: Shop, deployed: str
) -> None:
    query(deployed, "CREATE TYPE mood AS ENUM ('calm', 'cross')")
    query(deployed, "ALTER TABLE shop_order ADD CONSTRAINT few CHECK (total < 99) NOT VALID")
    app.write("0002_case", f"migrations.RunSQL({forwards!r}, {backwards or 'SELECT 1'!r})")
    result = rehearsed(deployed, forced(deployed))
    assert not {"deploy.M045", "deploy.M094"} & set(ids(result))
    assert "deploy.M045" in ids(result, "info")
    assert result.reversed_cleanly


def test_says_what_a_model_can_no_longer_do_in_one_finding(app: Shop, deployed: str) -> None:
    app.write("0002_rename", 'migrations.RenameField("order", "note", "remark")')
    found = [f for f in rehearsed(deployed, forced(deployed)).findings if f.id == "deploy.M041"]
    assert len(found) == 1
    assert "SELECT, INSERT, UPDATE, DELETE shop.Order" in found[0].message


def test_new_code_that_a_contract_migration_breaks_is_refused(app: Shop, deployed: str) -> None:
    drop = "ALTER TABLE shop_order DROP COLUMN paid"
    app.write("0002_drop", f'migrations.RunSQL({drop!r}, "ALTER TABLE shop_order ADD paid boolean")')
    assert ("deploy.M073", "error") in {(found.id, found.level) for found in judged(deployed).findings}
    assert "deploy.M047" in ids(rehearsed(deployed))


def test_a_new_uniqueness_is_no_reason_to_refuse_the_code_that_brings_it(app: Shop, deployed: str) -> None:
    app.write("0002_once", 'migrations.AlterField("order", "total", models.IntegerField(unique=True)),')
    assert not {found.id for found in rehearsed(deployed).findings if found.level == "error"}


def test_a_model_that_refers_to_nothing_is_left_out_by_name(app: Shop, deployed: str) -> None:
    field = (
        'migrations.AddField("order", "thing", models.ForeignKey("gone.Thing", models.CASCADE, null=True))'
    )
    app.write("0002_gone", f"migrations.SeparateDatabaseAndState(state_operations=[{field}])")
    result = rehearsed(deployed, forced(deployed))
    said = [finding.message for finding in result.findings if finding.id == "deploy.M046"]
    assert any("shop.Order" in one and "gone.thing" in one for one in said), result.findings
