"""What SQL does that no model shows: tables that only the database has, sequences, limits."""

import pytest

from deploy.gate.graph.plan import load
from deploy.gate.static.judgement import judge

from .project import Shop, judged

MADE = 'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))])'
FORGOTTEN = 'migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Note")])'
CASES = {
    # sql: (id, level) of what is said, or nothing
    "DROP TABLE totals": ("deploy.M126", "warning"),
    "DROP TABLE IF EXISTS totals CASCADE": ("deploy.M126", "warning"),
    "CREATE TABLE totals (id int); DROP TABLE totals": None,
    "DROP TABLE IF EXISTS totals; CREATE TABLE totals (id int)": None,
    "ALTER SEQUENCE shop_order_id_seq RESTART": ("deploy.M127", "warning"),
    "SELECT setval('shop_order_id_seq', (SELECT max(id) FROM shop_order))": ("deploy.M127", "info"),
    "CREATE SEQUENCE s; ALTER SEQUENCE s RESTART WITH 9; SELECT setval('s', 9)": None,
    "ALTER SEQUENCE shop_order_id_seq CACHE 9": None,
    "SET statement_timeout = 0": ("deploy.M128", "info"),
    "SET LOCAL statement_timeout = 0": None,
    "SET statement_timeout = '9s'": None,
    "ALTER TABLE shop_order ADD CONSTRAINT c CHECK (false) NOT VALID": ("deploy.M002", "warning"),
    "ALTER TABLE shop_order ADD CONSTRAINT c CHECK (true) NOT VALID": None,
}  # fmt: skip


def run(sql: str) -> str:
    return f"migrations.RunSQL({sql!r}, migrations.RunSQL.noop)"


@pytest.mark.parametrize("sql", CASES)
def test_says(sql: str, app: Shop, live: str) -> None:
    app.write("0002_sql", run(sql))
    found = {(one.id, one.level) for one in judged(live).findings if one.id != "deploy.M073"}
    assert found == ({CASES[sql]} if CASES[sql] else set())


def test_a_table_that_its_model_has_left_before_is_information(app: Shop, live: str) -> None:
    app.write("0002_note", MADE)
    app.write("0003_forget", FORGOTTEN)
    app.write("0004_drop", run("DROP TABLE shop_note"))
    assert not {one.id for one in judged(live).findings} & {"deploy.M126"}  # this run made it


def test_a_table_of_an_older_release_is_information(app: Shop, live: str) -> None:
    app.write("0002_note", MADE + ", " + FORGOTTEN)
    app.write("0003_drop", run("DROP TABLE shop_note"))
    loader = load(None)
    before = [("shop", "0001_initial"), ("shop", "0002_note")]
    report = judge(loader, [("shop", "0003_drop")], applied=before, deployed=None, alias=live)
    (finding,) = [one for one in report.findings if one.id == "deploy.M126"]
    assert finding.level == "info"
    assert "its model left the code before" in finding.message
