"""Unsafe migrations that look harmless: each passed as expand once, without a word."""

import pytest
from django.db import connections
from django.db.models.signals import pre_migrate
from django.test import override_settings

from deploy.gate import rehearse, schema_fingerprint
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .project import INITIAL, conf, judged, postgres, query, run_all, shop, sqlite

HEAD = "from django.contrib.postgres.fields import ArrayField"
ITEMS = """
    migrations.CreateModel("Item", [
        ("id", models.BigAutoField(primary_key=True)),
        ("quantity", models.PositiveIntegerField(default=1)),
        ("slug", models.CharField(max_length=40, null=True)),
        ("active", models.BooleanField(default=True)),
        ("start", models.DateTimeField(null=True)),
        ("stop", models.DateTimeField(null=True)),
        ("tags", ArrayField(models.CharField(max_length=40), default=list)),
    ], options={"constraints": [
        models.UniqueConstraint(fields=["slug"], condition=models.Q(active=True), name="slug_of_active"),
        models.CheckConstraint(condition=models.Q(quantity__lt=1000), name="few"),
    ]}),
"""


@pytest.fixture(scope="module")
def stocked(django_db_blocker, tmp_path_factory):
    with django_db_blocker.unblock(), postgres("gate_stock") as alias:
        with shop(tmp_path_factory.mktemp("stock")) as made:
            made.write("0001_initial", INITIAL + ITEMS, head=HEAD)
            run_all(alias)
        yield alias


def _judge(stocked, tmp_path, operations, **options):
    with shop(tmp_path) as app:
        app.write("0001_initial", INITIAL + ITEMS, head=HEAD)
        app.write("0002_next", operations, head=HEAD, **options)
        return judged(stocked)


def sql(text: str) -> str:
    return f"migrations.RunSQL({text!r}, migrations.RunSQL.noop),"


BREAKING = {
    "a check on a column that has one already": (
        'migrations.AddConstraint("item", models.CheckConstraint(condition=models.Q(quantity__gte=10),'
        ' name="ten")),'
    ),
    "a check that is tightened under its name": (
        'migrations.RemoveConstraint("item", "few"),'
        'migrations.AddConstraint("item", models.CheckConstraint(condition=models.Q(quantity__lt=10),'
        ' name="few")),'
    ),
    "uniqueness of all rows, where it was of some": (
        'migrations.AddConstraint("item", models.UniqueConstraint(fields=["slug"], name="slug_of_all")),'
    ),
    "uniqueness of an expression": (
        'migrations.AddConstraint("customer", models.UniqueConstraint(functions.Lower("name"), name="low")),'
    ),
    "a unique index on an expression, in SQL": sql("CREATE UNIQUE INDEX low ON shop_customer (lower(name))"),
    "an exclusion by an expression": sql(
        "ALTER TABLE shop_item ADD CONSTRAINT one EXCLUDE USING gist (tstzrange(start, stop) WITH &&)"
    ),
    "shorter elements of an array": (
        'migrations.AlterField("item", "tags", ArrayField(models.CharField(max_length=5), default=list)),'
    ),
    "a foreign key to another table": (
        'migrations.AlterField("order", "customer", models.ForeignKey("shop.Item", models.CASCADE)),'
    ),
    "a column dropped in a DO block": sql("DO $$BEGIN ALTER TABLE shop_order DROP COLUMN note; END$$"),
    "a table renamed under a condition": sql(
        "DO $$BEGIN IF true THEN ALTER TABLE shop_order RENAME TO purchases; END IF; END$$"
    ),
}


@pytest.mark.parametrize("case", BREAKING)
def test_old_code_that_may_be_refused_makes_a_contract_migration(case, stocked, tmp_path):
    report = _judge(stocked, tmp_path, BREAKING[case])
    assert report.contract == (("shop", "0002_next"),)


KEPT = {
    "the same check under another name": (
        'migrations.RemoveConstraint("item", "few"),'
        'migrations.AddConstraint("item", models.CheckConstraint(condition=models.Q(quantity__lt=1000),'
        ' name="not_many")),'
    ),
    "a positive column that grows": (
        'migrations.AlterField("item", "quantity", models.PositiveBigIntegerField(default=1)),'
    ),
    "longer elements of an array": (
        'migrations.AlterField("item", "tags", ArrayField(models.CharField(max_length=50), default=list)),'
    ),
    "uniqueness of an expression on a new column": (
        'migrations.AddField("item", "ean", models.CharField(max_length=13, null=True)),'
        'migrations.AddConstraint("item", models.UniqueConstraint(functions.Lower("ean"), name="ean_low")),'
    ),
    "an index that becomes a constraint": sql(
        "CREATE INDEX plain ON shop_item (slug); ALTER TABLE shop_item ADD CONSTRAINT u UNIQUE USING INDEX u"
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_the_old_code_survives_is_not_postponed(case, stocked, tmp_path):
    report = _judge(stocked, tmp_path, KEPT[case])
    assert report.expand == (("shop", "0002_next"),)
    assert report.ok


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t BEFORE INSERT ON shop_order FOR EACH ROW EXECUTE FUNCTION refuse()",
        "CREATE RULE r AS ON INSERT TO shop_order DO INSTEAD NOTHING",
        "CREATE POLICY p ON shop_order USING (false)",
        "ALTER TABLE shop_order FORCE ROW LEVEL SECURITY",
        "ALTER TABLE shop_item ALTER id SET GENERATED ALWAYS",
        "ALTER SCHEMA public RENAME TO other",
        "ALTER VIEW seen RENAME TO looked_at",
        "REVOKE INSERT ON shop_order FROM app",
        "CALL cleanup()",
        "DO $$BEGIN EXECUTE 'DROP ' || 'TABLE shop_order'; END$$",
    ],
)
def test_says_what_it_could_not_judge(statement, stocked, tmp_path):
    report = _judge(stocked, tmp_path, sql(statement))
    assert "deploy.M030" in {finding.id for finding in report.findings}


def test_replacing_a_function_is_told_from_making_one(stocked, tmp_path):
    make = "CREATE OR REPLACE FUNCTION anew() RETURNS int LANGUAGE sql AS 'SELECT {}'"
    with shop(tmp_path) as app:
        app.write("0001_initial", INITIAL + ITEMS, head=HEAD)
        app.write("0002_next", sql(make.format(1)), head=HEAD)
        assert "deploy.M030" not in {finding.id for finding in judged(stocked).findings}
        app.write("0003_again", sql(make.format(2)), head=HEAD)
        assert ("deploy.M030", "shop.0003_again") in {(f.id, f.place) for f in judged(stocked).findings}


@pytest.mark.parametrize(("volatility", "rewrites"), [("IMMUTABLE", False), ("STABLE", False), ("", True)])
def test_a_function_of_the_project_is_as_volatile_as_it_says(volatility, rewrites, stocked, tmp_path):
    make = f"CREATE FUNCTION loud(text) RETURNS text {volatility} LANGUAGE sql AS 'SELECT upper($1)'"
    use = "ALTER TABLE shop_item ADD COLUMN word text DEFAULT loud('a')"
    found = _judge(stocked, tmp_path, sql(make) + sql(use)).findings
    assert ("deploy.M016" in {finding.id for finding in found}) == rewrites


def test_a_view_in_the_place_of_a_renamed_table_takes_the_old_codes_statements(stocked, tmp_path):
    rename = 'migrations.AlterModelTable("item", "shop_thing"),'
    whole = sql("CREATE VIEW shop_item AS SELECT * FROM shop_thing")
    part = sql("CREATE VIEW shop_item AS SELECT id, quantity FROM shop_thing")
    assert _judge(stocked, tmp_path, rename + whole).contract == ()
    assert "deploy.M001" in {
        finding.id for finding in _judge(stocked, tmp_path / "x", rename + part).findings
    }


def test_an_index_that_a_type_change_takes_along_is_no_drop_to_wait_for(stocked, tmp_path):
    with shop(tmp_path) as app:
        app.write("0001_initial", INITIAL + ITEMS, head=HEAD)
        app.write(
            "0002_next", 'migrations.AlterField("customer", "email", models.IntegerField(unique=True)),'
        )
        assert "deploy.M036" not in {finding.id for finding in judged(stocked).findings}


def test_an_extension_is_judged_without_asking_whether_it_is_there(stocked, tmp_path):
    with shop(tmp_path) as app:
        app.write("0001_initial", INITIAL + ITEMS, head=HEAD)
        app.write(
            "0002_next",
            "TrigramExtension(),",
            head=f"from django.contrib.postgres.operations import *\n{HEAD}",
        )
        assert [f for f in judged(stocked).findings if f.level != "info"] == []


def test_who_attaches_a_partition_stops_its_users(stocked, tmp_path):
    script = (
        "CREATE TABLE past (LIKE shop_item) PARTITION BY RANGE (id);"
        "ALTER TABLE past ATTACH PARTITION shop_item FOR VALUES FROM (1) TO (10)"
    )
    assert "deploy.M019" in {finding.id for finding in _judge(stocked, tmp_path, sql(script)).findings}


@pytest.mark.parametrize(
    "statement",
    [
        "COMMENT ON TABLE shop_order IS 'x'",
        "CREATE SEQUENCE s",
        "ALTER SEQUENCE shop_order_id_seq INCREMENT 2",
        "CREATE EXTENSION IF NOT EXISTS plpgsql",
        "CREATE VIEW v AS SELECT 1",
        "SET lock_timeout = '2s'",
        "DO $$DECLARE n int; BEGIN RAISE NOTICE 'x'; END$$",
    ],
)
def test_does_not_cry_wolf(statement, stocked, tmp_path):
    found = _judge(stocked, tmp_path, sql(statement)).findings
    assert not {finding.id for finding in found} & {"deploy.M030", "deploy.M031"}


@pytest.mark.parametrize(
    "statement",
    [
        "SET lock_timeout = 0",
        "SET LOCAL lock_timeout TO '0'",
        "SET SESSION lock_timeout TO DEFAULT",
        "RESET lock_timeout",
        "RESET ALL",
        "DISCARD ALL",
        "SELECT set_config('lock_timeout', '0', false)",
    ],
)
def test_refuses_to_wait_for_locks_without_limit(statement, stocked, tmp_path):
    report = _judge(stocked, tmp_path, sql(statement))
    assert ("deploy.M031", "error") in {(finding.id, finding.level) for finding in report.findings}


def test_a_limit_that_a_migration_lifted_is_back_for_the_next_statement(app, deployed):
    app.write("0002_lift", sql("SET lock_timeout = 0"), atomic=False)
    app.write("0003_look", sql("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS waits"))
    run_all(deployed, statement_lock_timeout_seconds=2.0)
    assert query(deployed, "SELECT waits FROM seen") == [("2s",)]


def test_the_limit_holds_in_every_attempt_after_a_reconnect(app, deployed):
    """What a reconnected session sets inside of a transaction is undone with it."""

    def reconnect(**_: object) -> None:
        connections[deployed].close()

    head = """
        def first_no_lock(apps, editor, tried=[]):
            tried.append(1)
            if len(tried) == 1:
                editor.execute("DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '55P03'; END$$")
            editor.execute("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS waits")
    """
    app.write("0002_look", "migrations.RunPython(first_no_lock),", head=head)
    pre_migrate.connect(reconnect)
    try:
        run_all(deployed, statement_lock_timeout_seconds=2.0)
    finally:
        pre_migrate.disconnect(reconnect)
    assert query(deployed, "SELECT waits FROM seen") == [("2s",)]


CHANGES = [
    "CREATE OR REPLACE VIEW seen AS SELECT id, name FROM shop_customer WHERE id > 1",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "ALTER TYPE mood ADD VALUE 'glad'",
    "ALTER DOMAIN few ADD CHECK (VALUE > 1)",
    "ALTER TABLE shop_customer ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p ON shop_customer USING (true)",
    "CREATE RULE r AS ON DELETE TO shop_customer DO INSTEAD NOTHING",
    "ALTER TABLE shop_customer DISABLE TRIGGER t",
    "ALTER SEQUENCE shop_customer_id_seq INCREMENT 2",
    "CREATE TABLE nothing ()",
    "ALTER TABLE shop_customer SET UNLOGGED",
]


def test_the_fingerprint_sees_all_that_decides_whether_a_statement_passes(app, database):
    run_all(database)
    for (key,) in query(database, "SELECT conname FROM pg_constraint WHERE contype = 'f'"):
        query(database, f'ALTER TABLE shop_order DROP CONSTRAINT "{key}"')  # it would forbid UNLOGGED
    query(
        database,
        "CREATE VIEW seen AS SELECT id, name FROM shop_customer;"
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER t BEFORE INSERT ON shop_customer FOR EACH ROW EXECUTE FUNCTION g();"
        "CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN few AS int",
    )
    seen = [schema_fingerprint(database)]
    assert schema_fingerprint(database) == seen[0]
    for change in CHANGES:
        query(database, change)
        seen.append(schema_fingerprint(database))
        assert seen[-1] not in seen[:-1], change


def test_the_fingerprint_of_sqlite_sees_the_condition_of_an_index(tmp_path):
    with sqlite(tmp_path / "db.sqlite3") as alias:
        query(alias, "CREATE TABLE t (a, b)")
        query(alias, "CREATE INDEX i ON t (a)")
        before = schema_fingerprint(alias)
        query(alias, "DROP INDEX i")
        query(alias, "CREATE INDEX i ON t (b)")
        assert schema_fingerprint(alias) != before


def test_an_index_that_is_there_but_not_unique_is_not_taken_for_the_unique_one(app, deployed):
    query(deployed, "CREATE INDEX one_note ON shop_order (note)")
    app.write(
        "0002_index", sql("CREATE UNIQUE INDEX CONCURRENTLY one_note ON shop_order (note)"), atomic=False
    )
    with pytest.raises(Refusal, match="already exists"):
        run_all(deployed)


def _rehearsed(alias, **changes):
    return rehearse(
        conf(database="default", **changes),
        alias=alias,
        gate=judged(alias),
        deployed=None,
        step=Step("rehearse"),
    )


def test_a_rewrite_outside_of_a_transaction_is_seen_with_its_lock(app, deployed):
    slow = "CASE WHEN pg_sleep(0.01) IS NULL THEN 0 ELSE total END"
    app.write(
        "0002_big", sql(f"ALTER TABLE shop_order ALTER COLUMN total TYPE bigint USING ({slow})"), atomic=False
    )
    result = _rehearsed(deployed, statement_lock_timeout_seconds=0.2)
    assert {"deploy.M043", "deploy.M044"} <= {finding.id for finding in result.findings}


def test_an_index_built_concurrently_holds_no_lock_worth_telling(app, deployed):
    app.write("0002_index", sql("CREATE INDEX CONCURRENTLY by_total ON shop_order (total)"), atomic=False)
    result = _rehearsed(deployed, statement_lock_timeout_seconds=0.0)
    assert "deploy.M043" not in {finding.id for finding in result.findings}


def test_a_thread_of_a_data_migration_cannot_write_to_another_live_database(app, deployed):
    """Connections are per thread: what refuses in ours must refuse in every other."""
    query(deployed, "CREATE TABLE marker (a int)")
    connections.settings["other"] = dict(connections.settings[deployed])
    head = """
        def write(apps, editor):
            import threading
            from django.db import connections

            def act():
                try:
                    with connections["other"].cursor() as cursor:
                        cursor.execute("INSERT INTO marker VALUES (1)")
                except Exception:
                    pass
                finally:
                    connections["other"].close()

            thread = threading.Thread(target=act)
            thread.start()
            thread.join()
    """
    app.write("0002_write", "migrations.RunPython(write, migrations.RunPython.noop),", head=head)
    try:
        with postgres("gate_scratch") as scratch:
            run_all(scratch, only=[("shop", "0001_initial")])
            _rehearsed(scratch)
        assert query(deployed, "SELECT count(*) FROM marker") == [(0,)]
    finally:
        connections["other"].close()
        del connections["other"]
        del connections.settings["other"]


class ReadsFromReplica:
    def db_for_read(self, model, **_):
        return "replica"

    def db_for_write(self, model, **_):
        return "default"

    def allow_migrate(self, alias, *_, **__):
        return alias != "replica"


def test_a_data_migration_may_read_from_a_replica(app, deployed):
    head = """
        def write(apps, editor):
            customers = apps.get_model("shop", "Customer").objects
            assert customers.filter(pk__in=[one.pk for one in customers.all()]).update(name="z") == 50
    """
    app.write("0002_write", "migrations.RunPython(write, migrations.RunPython.noop),", head=head)
    live = dict(connections.settings["default"])
    connections.settings["replica"] = {**live, "TEST": {**live["TEST"], "MIRROR": "default"}}
    try:
        with override_settings(DATABASE_ROUTERS=[ReadsFromReplica()]):
            result = _rehearsed(deployed)
        assert not [finding.message for finding in result.findings if finding.level == "error"]
        assert connections["replica"].settings_dict["NAME"] == live["NAME"]
    finally:
        connections["replica"].close()
        del connections["replica"]
        del connections.settings["replica"]
