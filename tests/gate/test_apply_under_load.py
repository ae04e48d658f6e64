"""The promise to the traffic: no statement waits longer than 2.5 s because of a migration, and none fails."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from deploy.gate.graph import plan

from .project import Shop, query
from .test_apply import answer, start

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 2.5
MIGRATIONS = {
    "0002_columns": (
        'migrations.AddField("order", "memo", models.TextField(null=True)),'
        'migrations.AddField("order", "priority", models.IntegerField(db_default=0)),'
        "migrations.RunSQL('ALTER TABLE shop_order ADD CONSTRAINT positive CHECK (total >= 0) NOT VALID',"
        " migrations.RunSQL.noop),"
    ),
    "0003_validate": (
        "migrations.RunSQL('ALTER TABLE shop_order VALIDATE CONSTRAINT positive', migrations.RunSQL.noop),"
    ),
    "0004_index": 'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx")),',
}


@contextlib.contextmanager
def traffic(alias: str, **job: object) -> Iterator[dict]:
    """Sixteen clients for the length of the block; what they saw is in the dict after it."""
    from psycopg.conninfo import make_conninfo

    entry = connections.settings[alias]
    given = {"host": entry["HOST"], "user": entry["USER"], "dbname": entry["NAME"], "port": entry.get("PORT"),
             "password": entry.get("PASSWORD")}  # fmt: skip
    dsn = make_conninfo(**{name: str(value) for name, value in given.items() if value})
    job = {"dsn": dsn, "clients": 16, **job}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gate.traffic", json.dumps(job)],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    seen: dict = {}
    try:
        assert process.stdout.readline() == "ready\n"
        yield seen
    finally:
        out, _ = process.communicate()
    seen |= json.loads(out)


@pytest.fixture
def busy(app: Shop, deployed: str, monkeypatch: pytest.MonkeyPatch) -> str:
    query(deployed, "ALTER TABLE shop_order ALTER customer_id DROP NOT NULL")
    query(deployed, "INSERT INTO shop_order (note, total) SELECT 'n', i FROM generate_series(1, 20000) AS i")
    for name, operations in MIGRATIONS.items():
        app.write(name, operations, atomic=name != "0004_index")
    monkeypatch.setitem(os.environ, "PGAPPNAME", "applier")
    return deployed


@pytest.mark.parametrize("held", ["before", "meanwhile"])
def test_nobody_waits_for_long_and_nothing_fails_while_a_transaction_stays_open(
    held: str, app: Shop, busy: str
) -> None:
    with traffic(busy, held=held, hold_seconds=5) as seen:
        done = answer(start(app, busy))
    assert done["applied"] == list(MIGRATIONS)
    assert plan.pending(plan.load(busy)) == []
    assert seen["failed"] == {}
    assert seen["statements"] > 16 * 10  # all clients went on, however slow the machine is
    assert seen["longest_behind_applier_seconds"] < LIMIT_SECONDS
    attempts = done["facts"]["migrations"]["shop.0002_columns"]["attempts"]
    if held == "before":
        assert attempts == 1  # nobody ever stood in a queue behind it
        assert "(report, user " in done["facts"]["waited_for"][0]
    else:
        assert seen["longest_behind_applier_seconds"] > 0.3  # the queue was there, and it was dissolved
        assert attempts > 1
