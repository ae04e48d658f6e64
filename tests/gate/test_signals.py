"""SIGTERM and SIGKILL at any statement: it stops on the server too, and the next run converges."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connections

from deploy.gate.applying.apply import reverse
from deploy.gate.graph import plan
from deploy.gate.schema import schema_fingerprint
from deploy.reporting.report import Step

from .project import Shop, conf, postgres, query, run_all
from .test_apply import start
from .test_command import ROOT, Site

SLOW = """
from django.db import migrations
class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.RunSQL("ALTER TABLE stock_item ADD memo text", migrations.RunSQL.noop),
                  migrations.RunSQL("SELECT pg_sleep(60)", migrations.RunSQL.noop)]
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "not atomic"])
def test_a_signal_in_the_middle_of_a_statement_ends_it_on_the_server_too(
    atomic: bool, number: signal.Signals, tmp_path: Path
) -> None:
    with postgres() as alias:
        entry = connections.settings[alias]
        wanted = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
        site = Site(tmp_path, {name: str(entry[name]) for name in wanted if entry.get(name)})
        (site.root / "stock" / "migrations" / "0002_slow.py").write_text(SLOW.format(atomic=atomic))
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings",
                       "PYTHONPATH": f"{site.root}:{ROOT}", "GITHUB_ACTIONS": ""}  # fmt: skip
        argv = [sys.executable, "-m", "django", "migrategate", "apply", "--phase", "all", "--format", "json"]
        process = subprocess.Popen(argv, env=environment, cwd=site.root, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        asleep = ("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                  " AND datname = current_database()")  # fmt: skip
        assert _comes(alias, asleep, there=True)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        if number == signal.SIGTERM:
            assert process.returncode == 128 + number, (out, err)
            assert "deploy.R003" in [f["id"] for step in json.loads(out)["steps"] for f in step["findings"]]
        assert _comes(alias, asleep, there=False)


HEAD = """
def raise_totals(apps, editor):
    orders = apps.get_model("shop", "Order").objects.using(editor.connection.alias)
    orders.update(total=models.F("total") + 1000)
"""
DATA = "migrations.RunPython(raise_totals, migrations.RunPython.noop, atomic=True),"
WHOLE = {
    "0002_atomic": 'migrations.AddField("order", "memo", models.TextField(null=True, db_index=True)),' + DATA,
    "0003_beside": (
        'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx")),'
        'migrations.RenameIndex("order", new_name="sum_idx", old_name="total_idx"),'
        + DATA
        + 'RemoveIndexConcurrently("order", "sum_idx"),'
    ),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_the_next_run_converges_whatever_statement_the_signal_came_before(
    number: signal.Signals, app: Shop, deployed: str
) -> None:
    for name, operations in WHOLE.items():
        app.write(name, operations, atomic=name == "0002_atomic", head=HEAD)
    before = schema_fingerprint(deployed)
    run_all(deployed)
    wanted = schema_fingerprint(deployed)
    ended = 0
    while True:
        _back(deployed, before)
        process = start(app, deployed, end=(number, ended))
        process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode in {-number, 128 + number}
        run_all(deployed)
        assert schema_fingerprint(deployed) == wanted, ended
        assert query(deployed, "SELECT min(total), max(total) FROM shop_order") == [(2001, 2050)], ended
        assert query(deployed, "SELECT name FROM django_migrations WHERE name LIKE '%:%'") == []
        ended += 1
    assert ended > 15


def test_a_signal_before_any_answer_of_the_server_is_told_as_a_signal_and_frees_the_lock(
    app: Shop, deployed: str
) -> None:
    app.write("0002_memo", 'migrations.AddField("order", "memo", models.TextField(null=True)),')
    beside = 'AddIndexConcurrently("order", models.Index(fields=["total"], name="total_idx")),'
    app.write("0003_beside", beside, atomic=False)
    ended = 0
    while True:
        process = start(app, deployed, end=(signal.SIGTERM, 3 * ended), at="answer")
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == 128 + signal.SIGTERM, (ended, out, err)
        held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database ="
        held += " (SELECT oid FROM pg_database WHERE datname = current_database())"
        assert _comes(deployed, held, there=False), ended
        if ended % 4 == 3:
            run_all(deployed)
            applied = plan.applied(deployed)
            keys = [("shop", name) for name in ("0002_memo", "0003_beside") if ("shop", name) in applied]
            reverse(conf(), alias=deployed, migrations=keys, guard=lambda: None, step=Step("reverse"))
        ended += 1
    assert ended > 5


def _back(alias: str, before: str) -> None:
    keys = [("shop", name) for name in WHOLE]
    reverse(conf(), alias=alias, migrations=keys, guard=lambda: None, step=Step("reverse"))
    query(alias, "UPDATE shop_order SET total = id")
    assert schema_fingerprint(alias) == before
    assert plan.pending(plan.load(alias)) == keys


def _comes(alias: str, statement: str, *, there: bool) -> bool:
    for _ in range(400):
        if bool(query(alias, statement)) is there:
            return True
        time.sleep(0.05)
    return False
