"""What the rehearsal sees of a statement: locks, rewrites, rows, log, and who would wait."""

import pytest

from deploy.gate.rehearsing.observed import Observed
from deploy.gate.rehearsing.rehearsal import Rehearsal

from .project import Shop, query
from .test_rehearsal import forced, ids, rehearsed

INDEX = 'models.Index(fields=["total"], name="total_idx")'


def sql(*statements: str) -> str:
    return "".join(f"migrations.RunSQL({one!r}, migrations.RunSQL.noop)," for one in statements)


def observed(result: Rehearsal, name: str = "shop.0002_case") -> list[Observed]:
    return [one for one in result.statements[name] if "django_migrations" not in one.statement]


def test_tells_lock_scan_rewrite_rows_and_log_of_each_statement(app: Shop, deployed: str) -> None:
    app.write(
        "0002_case",
        sql(
            "ALTER TABLE shop_order ADD memo text",
            "ALTER TABLE shop_order ALTER total TYPE bigint",
            "CREATE INDEX total_idx ON shop_customer (name)",
            "UPDATE shop_customer SET name = 'x' WHERE id <= 20",
        ),
    )
    add, widen, index, update = observed(rehearsed(deployed, forced(deployed)))
    assert (add.locks, add.scanned, add.rewritten) == ({"shop_order": "ACCESS EXCLUSIVE"}, {}, ())
    assert add.stops == {"shop_order": "reads and writes"}
    assert widen.rewritten == ("shop_order",)
    assert widen.scanned["shop_order"] >= 50
    assert widen.locks == {}  # it has it already
    assert (index.locks, index.stops) == ({"shop_customer": "SHARE"}, {"shop_customer": "writes"})
    assert index.scanned["shop_customer"] >= 50
    assert update.written == {"shop_customer": 20}
    assert all(one.seconds > 0 and one.wal_bytes > 0 for one in (add, widen, index, update))


@pytest.mark.parametrize("atomic", [True, False])
def test_sees_the_lock_of_a_statement_outside_of_a_transaction_too(
    atomic: bool, app: Shop, deployed: str
) -> None:
    app.write("0002_case", sql("ALTER TABLE shop_order ALTER total SET NOT NULL"), atomic=atomic)
    (one,) = observed(rehearsed(deployed, forced(deployed)))
    assert one.locks == {"shop_order": "ACCESS EXCLUSIVE"}
    assert one.seen == "in its transaction"


def test_looks_at_an_index_built_concurrently_from_a_second_session(app: Shop, deployed: str) -> None:
    query(
        deployed,
        "INSERT INTO shop_order (note, total, customer_id) SELECT 'n', i, 1 FROM generate_series(1, 90000) i",
    )
    app.write("0002_case", f'AddIndexConcurrently("order", {INDEX})', atomic=False)
    result = rehearsed(deployed)
    (one,) = observed(result)
    assert one.locks == {"shop_order": "SHARE UPDATE EXCLUSIVE"}
    assert one.stops == {"shop_order": "DDL and VACUUM"}
    assert one.seen == "while it ran"
    assert one.scanned["shop_order"] >= 2 * 90050
    assert ids(result) == []


def test_a_script_that_ends_the_transaction_itself_runs_as_it_stands(app: Shop, deployed: str) -> None:
    app.write("0002_case", sql("BEGIN; ALTER TABLE shop_order ADD memo text; COMMIT"), atomic=False)
    assert "deploy.M040" not in ids(rehearsed(deployed, forced(deployed)))


TAG = """migrations.CreateModel("Tag", [
    ("id", models.BigAutoField(primary_key=True)),
    ("order", models.ForeignKey("shop.Order", models.CASCADE)),
    ("name", models.CharField(max_length=9, db_index=True)),
]),"""
REFERS = """migrations.AddField("order", "by", models.ForeignKey(
    "shop.Customer", models.CASCADE, null=True, related_name="+", {})),"""
UNSAFE = {
    "new column that refers, with its index": REFERS.format("db_index=True"),
    "index": sql("CREATE INDEX total_idx ON shop_order (total)"),
    "check": sql("ALTER TABLE shop_order ADD CHECK (total > 0)"),
    "not null": sql(
        "ALTER TABLE shop_order ALTER total DROP NOT NULL", "ALTER TABLE shop_order ALTER total SET NOT NULL"
    ),
    "unique": sql("ALTER TABLE shop_order ADD UNIQUE (total)"),
    "validated in the transaction of the ADD": sql(
        "ALTER TABLE shop_order ADD CONSTRAINT positive CHECK (total > 0) NOT VALID",
        "ALTER TABLE shop_order VALIDATE CONSTRAINT positive",
    ),
    "a long statement behind a short lock": sql(
        "ALTER TABLE shop_order ADD memo text", "CREATE INDEX name_idx ON shop_customer (name)"
    ),
    "rows filled behind a short lock": sql(
        "ALTER TABLE shop_order ADD memo text",
        "UPDATE shop_order SET memo = note WHERE id IN (SELECT id FROM shop_order)",
    ),
    "foreign key": sql("ALTER TABLE shop_order ADD FOREIGN KEY (total) REFERENCES shop_customer (id)"),
    "volatile default": sql("ALTER TABLE shop_order ADD token uuid DEFAULT gen_random_uuid()"),
    "stored generated": sql(
        "ALTER TABLE shop_order ADD twice integer GENERATED ALWAYS AS (total * 2) STORED"
    ),
    "all rows at once": sql("UPDATE shop_order SET note = 'x'"),
    "attached with a scan": sql("CLUSTER shop_order USING shop_order_pkey"),
}
SAFE = {
    "column": sql("ALTER TABLE shop_order ADD memo text"),
    "constant default": sql("ALTER TABLE shop_order ADD memo text NOT NULL DEFAULT 'x'"),
    "stable default": sql("ALTER TABLE shop_order ADD at timestamptz NOT NULL DEFAULT now()"),
    "wider": sql("ALTER TABLE shop_order ALTER note TYPE varchar(200)"),
    "to text": sql("ALTER TABLE shop_order ALTER note TYPE text"),
    "not valid": sql("ALTER TABLE shop_order ADD CHECK (total > 0) NOT VALID"),
    "new table that refers to a live one": TAG,
    "new table, filled and indexed": sql(
        "CREATE TABLE tag (id bigserial PRIMARY KEY, n integer)",
        "INSERT INTO tag (n) SELECT generate_series(1, 20000)",
        "UPDATE tag SET n = n + 1",
        "CREATE INDEX tag_n ON tag (n)",
    ),
    "new column that refers": REFERS.format("db_index=False"),
    "a few rows": sql("ALTER TABLE shop_order ADD memo text", "UPDATE shop_order SET memo = '' WHERE id = 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_what_blocks_and_grows_with_the_table_is_seen_on_fifty_rows(
    name: str, app: Shop, deployed: str
) -> None:
    app.write("0002_case", UNSAFE[name])
    assert {"deploy.M044", "deploy.M090", "deploy.M091"} & set(ids(rehearsed(deployed, forced(deployed))))


@pytest.mark.parametrize("name", SAFE)
def test_what_blocks_but_for_a_moment_is_not(name: str, app: Shop, deployed: str) -> None:
    app.write("0002_case", SAFE[name])
    found = ids(rehearsed(deployed, forced(deployed)))
    assert not {"deploy.M043", "deploy.M044", "deploy.M090", "deploy.M091"} & set(found)


def test_a_table_that_an_earlier_migration_of_the_run_made_is_nobodys_yet(app: Shop, deployed: str) -> None:
    app.write("0002_new", sql("CREATE TABLE tag (id bigserial PRIMARY KEY, n integer)"))
    app.write("0003_case", sql("INSERT INTO tag (n) VALUES (1)", "CREATE INDEX tag_n ON tag (n)"))
    assert not {"deploy.M044", "deploy.M090"} & set(ids(rehearsed(deployed, forced(deployed))))


def test_thousands_of_rows_written_one_by_one_are_one_entry(app: Shop, deployed: str) -> None:
    head = """
        def fill(apps, editor):
            rows = apps.get_model("shop", "Order").objects.using(editor.connection.alias)
            for _ in range(6):
                for row in rows.all():
                    rows.filter(pk=row.pk).update(note="y")
    """
    app.write("0002_case", "migrations.RunPython(fill, migrations.RunPython.noop)", head=head)
    (one,) = observed(rehearsed(deployed))
    assert one.count == 306
    assert one.written == {"shop_order": 300}


def test_batches_inside_of_one_transaction_keep_every_row_all_the_same(app: Shop, deployed: str) -> None:
    update = "UPDATE shop_order SET note = 'x' WHERE id BETWEEN {} AND {}"
    batches = [update.format(first, first + 9) for first in range(1, 51, 10)]
    app.write("0002_case", sql(*batches))
    assert "deploy.M091" in ids(rehearsed(deployed, forced(deployed)))
    query(deployed, "UPDATE shop_order SET note = 'n'")
    app.write("0003_case", sql(*batches), atomic=False)
    assert "deploy.M091" not in ids(rehearsed(deployed, forced(deployed)))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM (SELECT id FROM shop_order FOR UPDATE) one",
        "SELECT id FROM shop_order FOR UPDATE",
        "INSERT INTO shop_customer SELECT * FROM shop_customer ON CONFLICT (id) DO UPDATE SET name = 'x'",
    ],
)
def test_rows_that_are_locked_without_an_update_count(statement: str, app: Shop, deployed: str) -> None:
    app.write("0002_case", sql(statement))
    assert "deploy.M091" in ids(rehearsed(deployed, forced(deployed)))
