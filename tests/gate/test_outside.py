"""What reaches outside the copy is found by the check, and never run by a rehearsal."""

import pytest

from deploy.gate.sql.outside import reaching_outside

from .project import Shop, judged, query
from .test_rehearsal import forced, rehearsed


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("DROP DATABASE live WITH (FORCE)", ["DROP DATABASE"]),
        ("ALTER DATABASE live SET work_mem = '1MB'", ["ALTER DATABASE … SET"]),
        ("ALTER DATABASE live RENAME TO other", ["ALTER … RENAME (DATABASE)"]),
        ("SELECT 1; ALTER SYSTEM SET fsync = off", ["ALTER SYSTEM"]),
        ("CREATE USER a PASSWORD %s", ["CREATE ROLE"]),
        ("ALTER ROLE a VALID UNTIL %s", ["ALTER ROLE"]),
        ("SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity", ["pg_terminate_backend()"]),
        ("COPY shop_order TO PROGRAM 'sh'", ["COPY … PROGRAM"]),
        ("COPY shop_order TO '/tmp/orders'", ["COPY … TO a file"]),
        ("SELECT * FROM dblink('dbname=live', 'DELETE FROM a') AS t (a int)", ["dblink()"]),
        ("GRANT CONNECT ON DATABASE live TO a", ["GRANT (DATABASE)"]),
        ("DO $$ BEGIN IF pg_reload_conf() THEN CREATE ROLE a; END IF; END $$",
         ["pg_reload_conf()", "CREATE ROLE"]),
        ("DO $$ BEGIN EXECUTE 'DROP DATABASE live'; END $$", ["DROP DATABASE"]),
        ("DO $$ DECLARE x bool; BEGIN x := pg_cancel_backend(1); END $$", ["pg_cancel_backend()"]),
        ("COPY shop_order FROM STDIN", []),
        ("GRANT SELECT ON shop_order TO PUBLIC", []),
        ("COMMENT ON TABLE a IS 'DROP DATABASE a'", []),
        ("CREATE USER MAPPING FOR a SERVER b", []),
        ("SELECT pg_sleep(0), 'ALTER SYSTEM' AS role", []),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT pg_reload_conf() $$", []),
    ],
)  # fmt: skip
def test_knows_what_reaches_outside(script: str, found: list[str]) -> None:
    assert reaching_outside(script) == found


@pytest.mark.parametrize("atomic", [True, False])
def test_a_rehearsal_does_not_run_what_reaches_outside_the_copy(
    atomic: bool, app: Shop, deployed: str
) -> None:
    app.write("0002_role", 'migrations.RunSQL("CREATE ROLE gate_never_made", "")', atomic=atomic)
    assert "deploy.M122" in {finding.id for finding in judged(deployed).findings if finding.level == "error"}
    result = rehearsed(deployed, forced(deployed))
    assert query(deployed, "SELECT 1 FROM pg_roles WHERE rolname = 'gate_never_made'") == []
    (finding,) = result.findings
    assert (finding.id, finding.level, finding.place) == ("deploy.M122", "error", "shop.0002_role")
    assert result.proof is None


def test_nor_when_the_migration_catches_the_refusal(app: Shop, deployed: str) -> None:
    head = (
        "from psycopg import sql\n"
        "def act(apps, editor):\n    try:\n"
        "        with editor.connection.cursor() as cursor:\n"
        "            cursor.execute(sql.SQL('CREATE ROLE {}').format(sql.Identifier('gate_never_made')))\n"
        "    except Exception:\n        pass\n"
    )
    app.write("0002_role", "migrations.RunPython(act, migrations.RunPython.noop)", head=head)
    result = rehearsed(deployed, forced(deployed))
    assert query(deployed, "SELECT 1 FROM pg_roles WHERE rolname = 'gate_never_made'") == []
    assert [finding.id for finding in result.findings] == ["deploy.M122"]
    assert result.proof is None


def test_nor_on_the_way_back(app: Shop, deployed: str) -> None:
    app.write("0002_role", 'migrations.RunSQL("SELECT 1", "CREATE ROLE gate_never_made")')
    result = rehearsed(deployed, forced(deployed))
    assert query(deployed, "SELECT 1 FROM pg_roles WHERE rolname = 'gate_never_made'") == []
    assert {"deploy.M122", "deploy.M045"} <= {finding.id for finding in result.findings}
