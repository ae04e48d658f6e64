"""Uniqueness that goes, and foreign keys that change sides: what the old code's statements lean on."""

import pytest

from deploy.gate.rehearsing.rehearsal import rehearse
from deploy.gate.static.check import GateReport
from deploy.reporting.report import Step

from .project import INITIAL, Shop, conf, judged, postgres, query, run_all, shop

STOCK = """
    migrations.CreateModel("Stock", [
        ("id", models.BigAutoField(primary_key=True)),
        ("code", models.CharField(max_length=20)),
        ("shelf", models.CharField(max_length=20)),
        ("place", models.CharField(max_length=20)),
        ("count", models.IntegerField(default=1)),
        ("active", models.BooleanField(default=True)),
    ], options={"unique_together": {("code", "shelf")}, "constraints": [
        models.UniqueConstraint(fields=["code", "place"], name="code_place"),
        models.UniqueConstraint(fields=["shelf"], condition=models.Q(active=True), name="shelf_of_active"),
        models.UniqueConstraint(functions.Lower("place"), name="place_low"),
    ]}),
"""


@pytest.fixture(scope="module")
def stocked(django_db_blocker, tmp_path_factory):
    with django_db_blocker.unblock(), postgres("gate_upserts") as alias:
        with shop(tmp_path_factory.mktemp("upserts")) as made:
            made.write("0001_initial", INITIAL + STOCK)
            run_all(alias)
        yield alias


def _judge(stocked, tmp_path, operations):
    with shop(tmp_path) as app:
        app.write("0001_initial", INITIAL + STOCK)
        app.write("0002_next", operations)
        return judged(stocked)


def sql(text: str) -> str:
    return f"migrations.RunSQL({text!r}, migrations.RunSQL.noop),"


GONE = {
    "of a field": 'migrations.AlterField("customer", "email", models.CharField(max_length=100)),',
    "of a field, in SQL": sql("ALTER TABLE shop_customer DROP CONSTRAINT shop_customer_email_key"),
    "of several fields": 'migrations.AlterUniqueTogether("stock", set()),',
    "a constraint": 'migrations.RemoveConstraint("stock", "code_place"),',
    "under a condition": 'migrations.RemoveConstraint("stock", "shelf_of_active"),',
    "under a condition, in SQL": sql("DROP INDEX CONCURRENTLY shelf_of_active"),
    "of an expression": 'migrations.RemoveConstraint("stock", "place_low"),',
    "made deferrable": (
        'migrations.RemoveConstraint("stock", "code_place"),'
        'migrations.AddConstraint("stock", models.UniqueConstraint(fields=["code", "place"], name="later",'
        " deferrable=models.Deferrable.DEFERRED)),"
    ),
}


@pytest.mark.parametrize("case", GONE)
def test_uniqueness_that_the_old_code_may_upsert_on_waits_for_the_switch(case, stocked, tmp_path):
    report = _judge(stocked, tmp_path, GONE[case])
    assert report.contract == (("shop", "0002_next"),)
    (why,) = [finding for finding in report.findings if finding.id == "deploy.M002"]
    assert "ON CONFLICT" in why.message
    assert "deploy.M032" in {finding.id for finding in report.findings}


KEPT = {
    "said in another way": (
        'migrations.AlterUniqueTogether("stock", set()),'
        'migrations.AddConstraint("stock", models.UniqueConstraint(fields=["shelf", "code"], name="both")),'
    ),
    "an index that becomes the constraint": sql(
        "CREATE UNIQUE INDEX CONCURRENTLY better ON shop_stock (code, place);"
        "ALTER TABLE shop_stock DROP CONSTRAINT code_place,"
        " ADD CONSTRAINT code_place UNIQUE USING INDEX better"
    ),
    "another name for the same condition": (
        'migrations.RemoveConstraint("stock", "shelf_of_active"),'
        'migrations.AddConstraint("stock", models.UniqueConstraint(fields=["shelf"],'
        ' condition=models.Q(active=True), name="active_shelf")),'
    ),
    "a plain index": sql("DROP INDEX IF EXISTS shop_order_customer_id_6dc4b0c4"),
}


@pytest.mark.parametrize("case", KEPT)
def test_uniqueness_that_stays_under_another_name_is_not_missed(case, stocked, tmp_path):
    report = _judge(stocked, tmp_path, KEPT[case])
    assert not [finding for finding in report.findings if "ON CONFLICT" in finding.message]
    assert report.expand == (("shop", "0002_next"),)


def test_a_foreign_key_to_another_table_breaks_both_sides(stocked, tmp_path):
    operations = (
        'migrations.AlterField("order", "customer", models.ForeignKey("shop.Stock", models.CASCADE)),'
    )
    report = _judge(stocked, tmp_path, operations)
    (finding,) = [finding for finding in report.findings if finding.level == "error"]
    assert finding.id == "deploy.M001"
    assert "references shop_stock instead of shop_customer" in finding.message
    assert "references shop_customer instead of shop_stock" in finding.message
    assert "customer_new" in finding.hint


def test_a_foreign_key_follows_a_table_that_keeps_its_rows(stocked, tmp_path):
    renamed = (
        'migrations.AlterModelTable("customer", "buyers"),'
        'migrations.AlterField("order", "note", models.CharField(max_length=200)),'
    )
    report = _judge(stocked, tmp_path, renamed)
    assert not [finding for finding in report.findings if "instead of" in finding.message]


def _rehearsed(alias: str, *, as_expand: bool):
    found = judged(alias)
    if as_expand:
        found = GateReport(found.pending, found.pending, (), (), found.plan_fingerprint)
    return rehearse(conf(database=alias), alias=alias, gate=found, deployed=None, step=Step("rehearse"))


def test_the_rehearsal_tries_an_upsert_on_every_uniqueness(app: Shop, deployed: str) -> None:
    app.write("0002_free", GONE["of a field"])
    result = _rehearsed(deployed, as_expand=True)
    messages = [finding.message for finding in result.findings if finding.id == "deploy.M041"]
    assert len(messages) == 1
    assert "UPSERT ON (email) shop.Customer: there is no unique" in messages[0]
    assert result.verdict == "reverse"


def test_an_upsert_is_not_blamed_on_top_of_a_failing_insert(app: Shop, deployed: str) -> None:
    app.write("0002_memo", 'migrations.AddField("customer", "memo", models.TextField(default="x")),')
    result = _rehearsed(deployed, as_expand=True)
    messages = [finding.message for finding in result.findings if finding.id == "deploy.M041"]
    assert not [message for message in messages if "UPSERT" in message]
    assert query(deployed, "SELECT count(*) FROM shop_customer") == [(50,)]


ODD = (
    'migrations.AddField("order", "kind", models.CharField(max_length=5, null=True)),'
    "migrations.RunSQL('ALTER TABLE shop_order ADD CHECK (coalesce(kind, note) = note)', ''),"
    'migrations.CreateModel("Mark", [("id", models.BigAutoField(primary_key=True)),'
    ' ("kind", models.CharField(max_length=9))], options={"constraints":'
    ' [models.CheckConstraint(condition=models.Q(kind__in=["gold", "iron"]), name="known")]}),'
)


def test_new_code_that_fails_with_made_up_values_is_a_warning_of_its_own(app: Shop, deployed: str) -> None:
    app.write("0002_mark", ODD)
    result = _rehearsed(deployed, as_expand=True)
    found = [(finding.id, finding.level) for finding in result.findings if finding.place == "shop.Mark"]
    assert ("deploy.M047", "warning") in found
    assert "deploy.M046" not in {finding.id for finding in result.findings}


def test_new_code_that_no_value_could_help_is_an_error(app: Shop, deployed: str) -> None:
    """Whatever the values are: the type of the column is not the model's."""
    query(deployed, "DELETE FROM shop_order")
    app.write(
        "0002_uid",
        'migrations.AddField("order", "uid", models.UUIDField(default=uuid.uuid4, null=True)),'
        "migrations.RunSQL('ALTER TABLE shop_order ALTER uid TYPE integer USING NULL', ''),",
    )
    result = _rehearsed(deployed, as_expand=True)
    found = {(finding.id, finding.level) for finding in result.findings if finding.place == "shop.Order"}
    assert ("deploy.M047", "error") in found
