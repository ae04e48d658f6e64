"""Rows that a migration takes away are never lost without a word."""

from pathlib import Path

import pytest

from deploy.gate.rehearsing.rehearsal import Rehearsal

from .project import Shop, judged, query, run_all, sqlite
from .test_rehearsal import forced, rehearsed


def gone(result: Rehearsal) -> list[tuple[str, str]]:
    return [(one.level, one.message) for one in result.findings if one.id == "deploy.M123"]


@pytest.mark.parametrize(
    ("operation", "lost"),
    [
        ('RunSQL("DELETE FROM shop_order", "")', ["shop_order had rows on the copy, and is empty after it."]),
        ('RunSQL("DROP TABLE shop_order; CREATE TABLE shop_order (id bigint)", "")',
         ["shop_order had rows on the copy, and is empty after it."]),
        ('RunSQL("DELETE FROM shop_order WHERE id > 1", "")', []),
        ('RunSQL("CREATE TABLE o AS SELECT * FROM shop_order; DROP TABLE shop_order; '
         'ALTER TABLE o RENAME TO shop_order", "")', []),
        ('RunSQL("ALTER TABLE shop_order RENAME TO old_orders", "")', []),
    ],
)  # fmt: skip
def test_a_table_that_loses_all_its_rows_is_an_error(
    operation: str, lost: list[str], app: Shop, deployed: str
) -> None:
    app.write("0002_case", f"migrations.{operation}")
    assert gone(rehearsed(deployed, forced(deployed))) == [("error", one) for one in lost]


def test_a_table_that_no_code_has_a_model_of_may_go(app: Shop, deployed: str) -> None:
    app.write("0002_drop", 'migrations.DeleteModel("Order")')
    result = rehearsed(deployed)
    assert gone(result) == [("info", "shop_order had rows on the copy, and is gone after it.")]


def test_what_the_check_has_said_is_not_an_error_twice(app: Shop, deployed: str) -> None:
    app.write("0002_truncate", 'migrations.RunSQL("TRUNCATE shop_order", "")')
    assert [level for level, _ in gone(rehearsed(deployed, judged(deployed)))] == ["info"]


def test_rows_are_missed_on_sqlite_too(app: Shop, tmp_path: Path) -> None:
    with sqlite(tmp_path / "copy.sqlite3") as alias:
        run_all(alias)
        query(alias, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        app.write("0002_case", 'migrations.RunSQL("DELETE FROM shop_customer", "")')
        result = rehearsed(alias, forced(alias))
    assert gone(result) == [("error", "shop_customer had rows on the copy, and is empty after it.")]
