"""What a lock on the copy is worth in production: sizes and activity of the live tables decide the level."""

from collections.abc import Iterator

import pytest
from django.db import connections

from deploy.gate.rehearsing.production import read_production
from deploy.gate.rehearsing.rehearsal import Rehearsal, rehearse
from deploy.reporting.report import Step

from .project import Shop, conf, postgres, query, run_all
from .test_rehearsal import forced, ids

INDEX = "migrations.RunSQL('CREATE INDEX total_idx ON shop_order (total)', 'DROP INDEX total_idx')"


@pytest.fixture
def copy(app: Shop, deployed: str) -> Iterator[str]:
    """A copy of fifty orders, beside the live database `deployed`."""
    with postgres("gate_scratch") as scratch:
        run_all(scratch)
        query(scratch, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        query(
            scratch,
            "INSERT INTO shop_order (note, total, customer_id) SELECT 'n', i, 1"
            " FROM generate_series(1, 50) i",
        )
        app.write("0002_index", INDEX)
        yield scratch


def rehearsed(live: str, copy: str, **changes: object) -> Rehearsal:
    return rehearse(
        conf(database=live, **changes), alias=copy, gate=forced(copy), deployed=None, step=Step("r")
    )


def grow(live: str) -> None:
    query(
        live,
        "INSERT INTO shop_order (note, total, customer_id) SELECT repeat('n', 90), i, 1"
        " FROM generate_series(1, 200000) i",
    )
    query(live, "ANALYZE shop_order")
    query(live, "SELECT pg_stat_force_next_flush()")


def test_a_table_whose_statistics_prove_it_small_stays_quiet(deployed: str, copy: str) -> None:
    query(deployed, "ANALYZE")
    result = rehearsed(deployed, copy)
    assert ids(result) == []
    assert result.as_dict()["estimates"] == "sizes and activity of the live database"


def test_a_table_of_unknown_size_does_not(deployed: str, copy: str) -> None:
    assert "deploy.M090" in ids(rehearsed(deployed, copy), "warning")


def test_the_cost_is_scaled_to_the_live_table(deployed: str, copy: str) -> None:
    grow(deployed)
    (finding,) = (f for f in rehearsed(deployed, copy).findings if f.id == "deploy.M090")
    assert finding.level == "warning"
    assert "200050 rows" in finding.message
    assert "in production" in finding.message
    assert "so that writes wait, while it goes through shop_order" in finding.message


def test_a_hot_table_behind_too_long_a_lock_is_an_error_and_a_cold_one_a_warning(
    app: Shop, deployed: str, copy: str
) -> None:
    grow(deployed)
    hot = rehearsed(deployed, copy, statement_lock_timeout_seconds=0.05)
    assert "deploy.M043" in ids(hot, "error")
    app.write("0003_index", INDEX.replace("total_idx", "again_idx"))
    query(deployed, "SELECT pg_stat_reset()")
    cold = rehearsed(deployed, copy, statement_lock_timeout_seconds=0.05)
    assert "deploy.M043" in ids(cold, "warning")


def test_a_live_database_that_does_not_answer_is_no_reason_to_stop(
    deployed: str, copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections[deployed].close()
    monkeypatch.setitem(connections[deployed].settings_dict, "NAME", "gate_no_such_database")
    assert "did not tell" in read_production(deployed).missing
