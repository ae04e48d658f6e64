"""What undoing a migration takes, told before it runs."""

import pytest

from deploy.gate.static.check import check

from .project import Shop, conf

FILL = "def fill(apps, editor): pass"
CASES = {
    "reverse": ('migrations.AddField("order", "memo", models.TextField(null=True))', "reverse",
                "python manage.py migrate shop 0001_initial"),
    "column": ('migrations.RemoveField("order", "paid")', "reverse, data lost",
               "the values of shop.order.paid are only in the backup"),
    "table": ('migrations.DeleteModel("Order")', "reverse, data lost",
              "the rows of shop.Order are only in the backup"),
    "python with a noop": ("migrations.RunPython(fill, migrations.RunPython.noop)", "reverse, data lost",
                           "what fill changed stays changed"),
    "python without": ("migrations.RunPython(fill)", "restore", "write reverse_code for fill, or the backup"),
    "sql without": ('migrations.RunSQL("SELECT 1")', "restore", "write reverse_sql, or the backup"),
    "sql with a noop": ('migrations.RunSQL("UPDATE shop_order SET total = 1", "")', "reverse, data lost",
                        "what its SQL changed stays changed"),
    "column dropped by sql": (
        'migrations.RunSQL("ALTER TABLE shop_order DROP paid", "ALTER TABLE shop_order ADD paid bool")',
        "reverse, data lost", "the values of shop_order.paid are only in the backup"),
    "rows deleted by a list": (
        'migrations.RunSQL([("DELETE FROM shop_order WHERE id = %s;", [1]), "SELECT 1"], "SELECT 1")',
        "reverse, data lost", "the rows that DELETE takes from shop_order are only in the backup"),
    "table emptied by sql": (
        'migrations.RunSQL("TRUNCATE shop_order", "SELECT 1")', "reverse, data lost",
        "the rows of shop_order are only in the backup"),
    "what it made itself": (
        'migrations.RunSQL("CREATE TABLE t (id int); DELETE FROM t; DROP TABLE t", "SELECT 1")', "reverse",
        "python manage.py migrate shop 0001_initial"),
    "inside another": (
        "migrations.SeparateDatabaseAndState([migrations.RunPython(fill)])", "restore",
        "write reverse_code for fill, or the backup"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_says_what_it_takes(case: str, app: Shop, live: str) -> None:
    operations, how, takes = CASES[case]
    app.write("0002_case", operations, head=FILL)
    report = check(conf(), alias=live, deployed=None)
    assert report.as_dict()["going_back"] == [
        {"migration": "shop.0002_case", "way back": how, "what it takes": takes}
    ]


def test_says_it_of_the_projects_own_pending_migrations(app: Shop, live: str) -> None:
    assert check(conf(), alias=live, deployed=None).as_dict()["going_back"] == []
