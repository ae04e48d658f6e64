"""Each case is a migration on top of the live shop: what the static gate says of it, and its phase."""

# ruff: noqa: E501 – a table reads best with a case to a line

import pytest

from deploy.gate.findings import SPLIT

from .project import Shop, judged

EXPAND, CONTRACT = "expand", "contract"

# name: (operations, expected finding ids besides info, phase)
CASES = {
    # safe
    "nullable column": ('migrations.AddField("order", "memo", models.TextField(null=True))', set(), EXPAND),
    "column with a database default": (
        'migrations.AddField("order", "memo", models.TextField(db_default="x"))', set(), EXPAND),
    "now() as database default": (
        'migrations.AddField("order", "at", models.DateTimeField(db_default=functions.Now()))', set(), EXPAND),
    "new table": (
        'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True)),'
        ' ("name", models.CharField(max_length=9, unique=True, db_index=True))])', set(), EXPAND),
    "many to many": ('migrations.AddField("order", "friends", models.ManyToManyField("shop.Customer"))', set(), EXPAND),
    "longer varchar": ('migrations.AlterField("order", "note", models.CharField(max_length=200))', set(), EXPAND),
    "varchar to text": ('migrations.AlterField("order", "note", models.TextField())', set(), EXPAND),
    "drop not null": ('migrations.AlterField("order", "total", models.IntegerField(null=True))', set(), EXPAND),
    "state only removal of a nullable column": (
        'migrations.SeparateDatabaseAndState([], [migrations.RemoveField("order", "paid")])', set(), EXPAND),
    "pinned rename": (
        'migrations.AlterField("order", "note", models.CharField(max_length=100, db_column="note")),'
        'migrations.RenameField("order", "note", "remark")', set(), EXPAND),
    "python only change": ('migrations.AlterField("order", "note", models.CharField(max_length=100, help_text="h"))',
                           set(), EXPAND),
    "check not valid on a new column": (
        'migrations.AddField("order", "extra", models.IntegerField(null=True)),'
        'migrations.RunSQL("ALTER TABLE shop_order ADD CONSTRAINT c CHECK (extra > 0) NOT VALID",'
        ' migrations.RunSQL.noop)', set(), EXPAND),
    # contract: old code breaks, new code can wait
    "nullable column removed": ('migrations.RemoveField("order", "paid")', {"deploy.M002"}, CONTRACT),
    "column with default removed": ('migrations.RemoveField("order", "state")', {"deploy.M002"}, CONTRACT),
    "table removed": ('migrations.DeleteModel("Order")', {"deploy.M002", "deploy.M004"}, CONTRACT),
    "not null set": ('migrations.AlterField("order", "paid", models.BooleanField(default=False))',
                     {"deploy.M013", "deploy.M017"}, CONTRACT),
    "narrower varchar": ('migrations.AlterField("order", "note", models.CharField(max_length=20))',
                         {"deploy.M002", "deploy.M015"}, CONTRACT),
    "unique added": ('migrations.AlterField("order", "total", models.IntegerField(unique=True))',
                     {"deploy.M014"}, CONTRACT),
    "check added": (
        'migrations.AddConstraint("order", models.CheckConstraint(condition=models.Q(total__gt=0), name="positive"))',
        {"deploy.M012"}, CONTRACT),
    "default dropped": ('migrations.AlterField("order", "state", models.CharField(max_length=10, default="new"))',
                        {"deploy.M002"}, CONTRACT),
    # refused: both sides break
    "not null without database default": (
        'migrations.AddField("order", "memo", models.TextField(default="x"))', {"deploy.M001"}, CONTRACT),
    "renamed column": ('migrations.RenameField("order", "note", "remark")', {"deploy.M001"}, CONTRACT),
    "renamed table": ('migrations.RenameModel("Order", "Purchase")', {"deploy.M001"}, CONTRACT),
    "table name changed": ('migrations.AlterModelTable("Order", "orders")', {"deploy.M001"}, CONTRACT),
    "not null column removed": ('migrations.RemoveField("order", "total")', {"deploy.M001"}, CONTRACT),
    "state only removal of a not null column": (
        'migrations.SeparateDatabaseAndState([], [migrations.RemoveField("order", "total")])', {"deploy.M029"}, EXPAND),
    "incompatible type": ('migrations.AlterField("order", "note", models.IntegerField())',
                          {"deploy.M001", "deploy.M015"}, CONTRACT),
    "raw rename": ('migrations.RunSQL("ALTER TABLE shop_order RENAME note TO remark", migrations.RunSQL.noop,'
                   ' [migrations.RenameField("order", "note", "remark")])', {"deploy.M001"}, CONTRACT),
    "removal and addition in one": (
        'migrations.RemoveField("order", "paid"), migrations.AddField("order", "p", models.TextField(null=True))',
        {"deploy.M001"}, CONTRACT),
    # locks
    "index": ('migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx"))', {"deploy.M010"}, EXPAND),
    "foreign key with index": (
        'migrations.AddField("order", "by", models.ForeignKey("shop.Customer", models.CASCADE, null=True,'
        ' related_name="+"))', {"deploy.M010"}, EXPAND),
    "foreign key on an old column": (
        'migrations.RunSQL("ALTER TABLE shop_order ADD CONSTRAINT fk FOREIGN KEY (total) REFERENCES shop_customer (id)",'
        ' migrations.RunSQL.noop)', {"deploy.M011"}, CONTRACT),
    "bigint": ('migrations.AlterField("order", "total", models.BigIntegerField())', {"deploy.M015"}, EXPAND),
    "volatile default": (
        'migrations.AddField("order", "uid", models.UUIDField(db_default=models.Func(function="gen_random_uuid")))',
        {"deploy.M016"}, EXPAND),
    "stored generated column": (
        'migrations.AddField("order", "twice", models.GeneratedField(expression=models.F("total") * 2,'
        ' output_field=models.IntegerField(), db_persist=True))', {"deploy.M016"}, EXPAND),
    "whole table update": ('migrations.RunSQL("UPDATE shop_order SET total = 1 -- all", migrations.RunSQL.noop)',
                           {"deploy.M017"}, EXPAND),
    "truncate": ('migrations.RunSQL("TRUNCATE shop_order CASCADE", migrations.RunSQL.noop)', {"deploy.M018"}, EXPAND),
    "lock table": ('migrations.RunSQL("LOCK TABLE shop_order IN SHARE MODE", "")', {"deploy.M019"}, EXPAND),
    "concurrently in a transaction": (
        'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx"))', {"deploy.M020"}, EXPAND),
    "validated too soon": (
        'migrations.AddField("order", "extra", models.IntegerField(null=True)),'
        'migrations.RunSQL("ALTER TABLE shop_order ADD CONSTRAINT c CHECK (extra > 0) NOT VALID;'
        'ALTER TABLE shop_order VALIDATE CONSTRAINT c", migrations.RunSQL.noop)', {"deploy.M021"}, EXPAND),
    "no reverse": ("migrations.RunPython(lambda apps, editor: None)", {"deploy.M022"}, EXPAND),
    "data with ddl": (
        'migrations.AddField("order", "memo", models.TextField(null=True)),'
        "migrations.RunPython(lambda apps, editor: None, migrations.RunPython.noop)", {"deploy.M023"}, EXPAND),
    "commit": ('migrations.RunSQL("COMMIT; BEGIN", migrations.RunSQL.noop)', {"deploy.M024"}, EXPAND),
    "view dropped": ('migrations.RunSQL("DROP VIEW IF EXISTS v", migrations.RunSQL.noop)', {"deploy.M025"}, EXPAND),
    "json column": ('migrations.RunSQL("ALTER TABLE shop_order ADD COLUMN j json", migrations.RunSQL.noop)',
                    {"deploy.M027"}, EXPAND),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_judges(case: str, app: Shop, live: str) -> None:
    operations, expected, phase = CASES[case]
    key = app.write("0002_case", operations)
    report = judged(live)
    found = {finding.id for finding in report.findings if finding.level != "info"}
    assert found == expected, report.findings
    assert (report.contract if phase == CONTRACT else report.expand) == (key,)


def test_paste_names_the_real_model_and_field(app: Shop, live: str) -> None:
    app.write("0002_memo", 'migrations.AddField("order", "memo", models.TextField(default="x"))')
    (finding,) = [f for f in judged(live).findings if f.id == SPLIT.id]
    assert (
        "migrations.AddField('order', 'memo', models.TextField(db_default='x', default='x'))" in finding.hint
    )
    assert "shop.Order: INSERT" in finding.message
    assert finding.place == "shop.0002_memo"


PASTED = {
    "a unique constraint": (
        'migrations.AddConstraint("order", models.UniqueConstraint(fields=["total"], name="once")),',
        "deploy.M014",
        "state_operations=[migrations.AddConstraint(model_name='order', "
        "constraint=models.UniqueConstraint(fields=('total',), name='once'))]",
    ),
    "a unique field": (
        'migrations.AlterField("order", "total", models.IntegerField(unique=True)),',
        "deploy.M014",
        "state_operations=[migrations.AlterField(model_name='order', name='total', "
        "field=models.IntegerField(unique=True))]",
    ),
    "a check": (
        'migrations.AddConstraint("order", models.CheckConstraint(condition=models.Q(total__gt=0), name="c")),',
        "deploy.M012",
        "ValidateConstraint('order', 'c')",
    ),
}


@pytest.mark.parametrize("case", PASTED)
def test_what_is_pasted_tells_django_of_the_constraint(case: str, app: Shop, live: str) -> None:
    operation, identity, expected = PASTED[case]
    app.write("0002_case", operation)
    (finding,) = [found for found in judged(live).findings if found.id == identity]
    assert expected in finding.hint
