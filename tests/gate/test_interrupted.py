"""A migration with `atomic = False`, killed between any two statements, and what the next run makes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connections

from deploy.gate import rehearse
from deploy.gate.applying.apply import reverse
from deploy.gate.graph import plan
from deploy.gate.graph.offline import collect
from deploy.gate.schema import schema_fingerprint
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .project import INITIAL, Shop, conf, judged, query, run_all, shop, sqlite

HEAD = """
def fill(apps, editor):
    orders = apps.get_model("shop", "Order").objects.using(editor.connection.alias)
    for part in (orders.filter(pk__lte=25), orders.filter(pk__gt=25)):
        for order in part:
            orders.filter(pk=order.pk).update(total=order.total + 1000)
        orders.filter(pk__lte=0).delete()
def fill_at_once(apps, editor):
    orders = apps.get_model("shop", "Order").objects.using(editor.connection.alias)
    orders.update(total=models.F("total") + 1000)
"""
MEMO = 'migrations.AddField("order", "memo", models.TextField(default="x")),'
LINK = (
    'migrations.AddField("order", "by", models.ForeignKey("shop.Customer", models.CASCADE, null=True,'
    ' related_name="+")),'
)
TAG = (
    'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True)),'
    ' ("order", models.ForeignKey("shop.Order", models.CASCADE)), ("name", models.CharField(max_length=9,'
    " db_index=True))]),"
)
RENAME = 'migrations.RenameField("order", "note", "remark"),'
UNIQUE = (
    'migrations.AlterField("order", "state", models.CharField(max_length=20, db_default="new", null=True)),'
)
FREE = 'migrations.AlterField("customer", "email", models.CharField(max_length=120)),'
INDEX = 'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx")),'
ONCE = "migrations.RunPython(fill_at_once, migrations.RunPython.noop, atomic=True),"
BATCHES = "migrations.RunPython(fill, migrations.RunPython.noop),"
SQL = "migrations.RunSQL('UPDATE shop_order SET total = total + 1000', migrations.RunSQL.noop),"
WHOLE = MEMO + ONCE + LINK + TAG + SQL + RENAME + UNIQUE + FREE + INDEX


class Killed(BaseException):
    """Nothing of ours may catch it, as nothing catches SIGKILL."""


def killed_after(alias: str, number: int, *, act: Callable[..., object] = run_all, **changes: object) -> bool:
    """Apply everything, with the connection gone after `number` statements; False when it finished first."""
    connection = connections[alias]
    count, killed = 0, False

    def killing(execute, sql, params, many, context):
        nonlocal count, killed
        if count == number:
            killed = True
            connection.connection.close()
            raise Killed
        count += not str(sql).startswith("SELECT")
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(killing):
            act(alias, **changes)
    except (Killed, Refusal):  # leaving SQLite's editor complains of the closed database
        if not killed:
            raise
        connection.close()
    return killed


def result(alias: str) -> tuple[str, list[tuple[object, ...]]]:
    return schema_fingerprint(alias), query(alias, "SELECT id, total FROM shop_order ORDER BY id")


def back(alias: str, start: tuple[str, object]) -> None:
    key = ("shop", "0002_whole")
    reverse(conf(), alias=alias, migrations=[key], guard=lambda: None, step=Step("reverse"))
    query(alias, "UPDATE shop_order SET total = id")
    if connections[alias].vendor == "postgresql":  # Django gives a uniqueness that comes back another name
        for (name,) in query(alias, "SELECT conname FROM pg_constraint WHERE conname LIKE '%email%uniq'"):
            query(alias, f"ALTER TABLE shop_customer RENAME CONSTRAINT {name} TO shop_customer_email_key")
    assert result(alias) == start


def test_converges_from_every_statement_boundary(app: Shop, deployed: str) -> None:
    app.write("0002_whole", WHOLE, atomic=False, head=HEAD)
    start = result(deployed)
    run_all(deployed)
    wanted = result(deployed)
    assert wanted[1][0] == (1, 2001)
    number = 0
    back(deployed, start)
    while killed_after(deployed, number):
        run_all(deployed)
        assert result(deployed) == wanted, number
        assert query(deployed, "SELECT name FROM django_migrations WHERE name LIKE '%:%'") == []
        back(deployed, start)
        number += 1
    assert number > 25
    assert result(deployed) == wanted


def take_back(alias: str) -> None:
    key = ("shop", "0002_whole")
    reverse(conf(), alias=alias, migrations=[key], guard=lambda: None, step=Step("reverse"))


def test_taking_back_converges_from_every_statement_boundary(app: Shop, deployed: str) -> None:
    app.write("0002_whole", WHOLE.replace(FREE, ""), atomic=False, head=HEAD)
    start = schema_fingerprint(deployed)
    number = 0
    while True:
        run_all(deployed)
        if not killed_after(deployed, number, act=take_back):
            break
        take_back(deployed)
        assert schema_fingerprint(deployed) == start, number
        assert query(deployed, "SELECT name FROM django_migrations WHERE name LIKE '%:%'") == []
        assert plan.pending(plan.load(deployed)) == [("shop", "0002_whole")]
        number += 1
    assert number > 20


def test_data_that_was_half_taken_back_is_not_taken_back_twice(app: Shop, deployed: str) -> None:
    app.write("0002_whole", MEMO + "migrations.RunPython(fill, fill)," + INDEX, atomic=False, head=HEAD)
    run_all(deployed)
    assert killed_after(deployed, 10, act=take_back)
    changed = query(deployed, "SELECT sum(total) FROM shop_order")
    with pytest.raises(Refusal) as caught:
        take_back(deployed)
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M065"
    assert "Operation 2 of 3 (Raw Python operation)" in finding.message
    assert query(deployed, "SELECT sum(total) FROM shop_order") == changed


def test_converges_on_sqlite(tmp_path: Path) -> None:
    with shop(tmp_path) as app, sqlite(tmp_path / "db.sqlite3") as alias:
        app.write("0001_initial", INITIAL)
        run_all(alias)
        query(alias, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        query(alias, "INSERT INTO shop_order (note, total, customer_id) VALUES ('n', 1, 1)")
        app.write("0002_whole", MEMO + ONCE + LINK + SQL + RENAME, atomic=False, head=HEAD)
        start = result(alias)
        run_all(alias)
        wanted = result(alias)
        number = 0
        back(alias, start)
        while killed_after(alias, number):
            run_all(alias)
            assert result(alias) == wanted, number
            back(alias, start)
            number += 1
        assert number > 15


def test_a_list_of_changes_to_rows_is_one_transaction_and_never_asked_about(app: Shop, deployed: str) -> None:
    change = "UPDATE shop_order SET total = total + 1000"
    parts = [f"{change} WHERE id <= 25", f"{change} WHERE id > 25"]
    app.write("0002_whole", f"migrations.RunSQL({parts!r}, migrations.RunSQL.noop)", atomic=False)
    start = result(deployed)
    run_all(deployed)
    wanted = result(deployed)
    number = 0
    back(deployed, start)
    while killed_after(deployed, number):
        run_all(deployed)
        assert result(deployed) == wanted, number
        back(deployed, start)
        number += 1
    assert number > 2


def test_sql_that_wants_no_transaction_gets_none_on_sqlite(tmp_path: Path) -> None:
    with shop(tmp_path) as app, sqlite(tmp_path / "db.sqlite3") as alias:
        app.write("0001_initial", INITIAL)
        run_all(alias)
        wishes = "migrations.RunSQL('VACUUM', ''), migrations.RunSQL('PRAGMA journal_mode = WAL', ''),"
        app.write("0002_vacuum", wishes, atomic=False)
        run_all(alias)
        assert query(alias, "PRAGMA journal_mode") == [("wal",)]


def test_data_in_batches_is_asked_about_and_never_run_twice_unasked(app: Shop, deployed: str) -> None:
    app.write("0002_whole", MEMO + BATCHES + INDEX, atomic=False, head=HEAD)
    start = result(deployed)
    number = asked = 0
    while killed_after(deployed, number):
        try:
            run_all(deployed)
        except Refusal as refusal:
            asked += 1
            (finding,) = refusal.findings
            assert finding.id == "deploy.M057"
            assert "Operation 2 of 3 (Raw Python operation)" in finding.message
            assert "operations 1 to 1 are done" in finding.message
            assert "--interrupted again" in finding.hint
            changed = query(deployed, "SELECT count(*) FROM shop_order WHERE total > 1000")
            run_all(deployed, interrupted="done")
            assert query(deployed, "SELECT count(*) FROM shop_order WHERE total > 1000") == changed
        else:
            assert query(deployed, "SELECT count(*) FROM shop_order WHERE total BETWEEN 1001 AND 1050") == [
                (50,)
            ]
        assert plan.pending(plan.load(deployed)) == []
        back(deployed, start)
        number += 9 if asked else 1
    assert asked


def test_the_operator_may_have_it_run_again(app: Shop, deployed: str) -> None:
    app.write("0002_whole", MEMO + BATCHES, atomic=False, head=HEAD)
    assert killed_after(deployed, 10)
    run_all(deployed, interrupted="again")
    assert query(deployed, "SELECT count(*) FROM shop_order WHERE total > 1000") == [(50,)]


def test_goes_on_after_plain_migrate_was_killed(app: Shop, deployed: str) -> None:
    key = app.write("0002_whole", LINK + INDEX, atomic=False)
    loader = plan.load(deployed)
    state = plan.state_of(loader, loader.applied_migrations)
    first = collect(key, loader.graph.nodes[key], state, deployed).statements[0]
    query(deployed, first.sql)
    run_all(deployed)
    assert plan.pending(plan.load(deployed)) == []
    found = query(
        deployed,
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 'shop_order'::regclass AND contype = 'f'",
    )
    assert found == [(2,)]


@pytest.mark.parametrize("operations", [MEMO + BATCHES, BATCHES + MEMO, MEMO + ONCE])
def test_asks_about_data_when_the_schema_shows_a_run_that_left_no_record(
    operations: str, app: Shop, deployed: str
) -> None:
    app.write("0002_whole", operations, atomic=False, head=HEAD)
    query(deployed, "ALTER TABLE shop_order ADD memo text NOT NULL DEFAULT 'x'")
    with pytest.raises(Refusal) as caught:
        run_all(deployed)
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M057"
    assert "(Add field memo to order) is there" in finding.message
    assert query(deployed, "SELECT count(*) FROM shop_order WHERE total > 1000") == [(0,)]


def test_the_absence_of_what_may_never_have_been_is_no_evidence(app: Shop, deployed: str) -> None:
    drop = "migrations.RunSQL('DROP INDEX IF EXISTS old_idx', migrations.RunSQL.noop),"
    app.write("0002_whole", drop + ONCE + drop, atomic=False, head=HEAD)
    run_all(deployed)
    assert query(deployed, "SELECT count(*) FROM shop_order WHERE total > 1000") == [(50,)]


def test_never_takes_another_column_for_its_own(app: Shop, deployed: str) -> None:
    app.write("0002_whole", INDEX + MEMO, atomic=False)
    query(deployed, "ALTER TABLE shop_order ADD memo integer")
    with pytest.raises(Refusal) as caught:
        run_all(deployed)
    (finding,) = caught.value.findings
    assert finding.id == "deploy.M058"
    assert "Operation 2 of 2 (Add field memo to order)" in finding.message
    assert (
        'column "memo" of relation "shop_order" already exists; operations 1 to 1 are done' in finding.message
    )
    assert "sqlmigrate shop 0002_whole" in finding.hint
    query(deployed, "ALTER TABLE shop_order DROP memo")
    run_all(deployed)


def test_a_copy_of_an_interrupted_database_can_be_rehearsed(app: Shop, deployed: str) -> None:
    app.write("0002_whole", MEMO + INDEX, atomic=False)
    assert killed_after(deployed, 4)
    found = judged(deployed)
    outcome = rehearse(conf(database=deployed), alias=deployed, gate=found, deployed=None, step=Step("r"))
    assert "deploy.M040" not in {finding.id for finding in outcome.findings}


def test_what_another_tool_has_finished_is_forgotten(app: Shop, deployed: str) -> None:
    app.write("0002_whole", MEMO + INDEX, atomic=False)
    assert killed_after(deployed, 4)
    assert ("shop", "0002_whole:0") not in plan.applied(deployed)
    query(deployed, "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_whole', now())")
    app.write("0003_more", 'migrations.AddField("order", "more", models.TextField(null=True)),')
    run_all(deployed)
    assert query(deployed, "SELECT name FROM django_migrations WHERE name LIKE '%:%'") == []
