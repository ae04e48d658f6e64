"""No row's values in what a failed rehearsal says, and no blame for a server that went away."""

import pytest
from django.db import OperationalError

from .project import Shop, query
from .test_rehearsal import forced, ids, rehearsed

SECRET = "ssn 078-05-1120"
ACT = "def act(apps, editor):\n    query = editor.connection.cursor().execute\n"


def problem(app: Shop, deployed: str, operation: str, head: str = "") -> str:
    app.write("0002_case", f"migrations.{operation}", head=head)
    (found,) = (one for one in rehearsed(deployed, forced(deployed)).findings if one.id == "deploy.M040")
    assert SECRET not in found.message
    assert "078" not in found.message
    return found.message


def test_what_a_trigger_raises_is_said_by_its_name_alone(app: Shop, deployed: str) -> None:
    query(deployed, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
          f"RAISE EXCEPTION 'no: {SECRET}'; END $$")  # fmt: skip
    query(deployed, "CREATE TRIGGER no BEFORE UPDATE ON shop_order FOR EACH ROW EXECUTE FUNCTION refuse()")
    said = problem(app, deployed, 'RunSQL("UPDATE shop_order SET total = 1", "")')
    assert "an exception raised by the function refuse()" in said


def test_a_number_out_of_range_is_not_shown(app: Shop, deployed: str) -> None:
    query(deployed, "UPDATE shop_order SET note = '078051120078051120'")
    said = problem(app, deployed, 'RunSQL("UPDATE shop_order SET total = note::integer", "")')
    assert "out of range for type integer" in said


def test_an_exception_of_the_project_is_said_by_class_and_place(app: Shop, deployed: str) -> None:
    head = f"{ACT}    raise ValueError('{SECRET}')\n"
    said = problem(app, deployed, "RunPython(act, migrations.RunPython.noop)", head)
    assert "ValueError: raised in " in said
    assert "migrations/0002_case.py, line " in said


def test_a_lost_connection_is_no_fault_of_the_migration(app: Shop, deployed: str) -> None:
    from django.db import connections

    settings = connections.settings[deployed]
    address = {"host": settings["HOST"], "user": settings["USER"], "dbname": settings["NAME"]}
    head = (
        "import psycopg\n"
        f"{ACT}    pid = editor.connection.connection.info.backend_pid\n"
        f"    with psycopg.connect(**{address!r}, port={settings['PORT'] or None!r}) as other:\n"
        "        other.execute('SELECT pg_terminate_backend(%s, 10000)', [pid])\n"
        "    query('SELECT 1')\n"
    )
    app.write("0002_case", "migrations.RunPython(act, migrations.RunPython.noop)", head=head)
    with pytest.raises(OperationalError):
        rehearsed(deployed, forced(deployed))


def test_a_reverse_that_leaves_the_process_is_reported(app: Shop, deployed: str) -> None:
    head = f"{ACT}    raise SystemExit(3)\n"
    app.write("0002_case", "migrations.RunPython(migrations.RunPython.noop, act)", head=head)
    assert "deploy.M045" in ids(rehearsed(deployed, forced(deployed)))


def test_a_date_without_a_zone_in_a_sample_is_not_warned_about(app: Shop, deployed: str) -> None:
    from .project import run_all

    app.write("0002_due", 'migrations.AddField("order", "due", models.DateTimeField(null=True))')
    run_all(deployed)
    query(deployed, "ALTER TABLE shop_order ALTER due TYPE timestamp")
    query(deployed, "UPDATE shop_order SET due = now()")
    app.write("0003_memo", 'migrations.AddField("order", "memo", models.TextField(null=True))')
    assert ids(rehearsed(deployed)) == []
