"""The way back is tried with a row of what is large: its outcome is asked for, not its cost."""

import pytest

from deploy.gate.rehearsing import thinning

from .project import Shop, query
from .test_rehearsal import forced, ids, rehearsed


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "LARGE_BYTES", 1000)


def test_large_tables_are_undone_and_redone_with_one_row(app: Shop, deployed: str) -> None:
    app.write("0002_wide", 'migrations.AlterField("order", "note", models.CharField(max_length=200))')
    result = rehearsed(deployed)
    assert result.thinned == ["shop_customer", "shop_order"]
    assert (result.reversed_cleanly, result.redone_cleanly) == (True, True)
    assert query(deployed, "SELECT count(*) FROM shop_order") == [(1,)]


def test_a_row_shows_what_a_reverse_cannot_do_with_data(app: Shop, deployed: str) -> None:
    app.write("0002_drop", 'migrations.RunSQL("ALTER TABLE shop_order DROP total", '
              '"ALTER TABLE shop_order ADD total integer NOT NULL")')  # fmt: skip
    query(deployed, "ALTER TABLE shop_order ALTER total DROP NOT NULL")
    app.write(
        "0003_state",
        "migrations.SeparateDatabaseAndState([], [migrations.RemoveField('order', 'total')])",
    )
    found = rehearsed(deployed, forced(deployed))
    assert "deploy.M045" in ids(found, "warning")
    assert found.reversed_cleanly is False
