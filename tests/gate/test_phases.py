"""Several migrations at once: what waits for what, and what the plan's fingerprint stands for."""

from deploy.gate.graph import plan

from .project import Shop, judged, run_all

DROP = 'migrations.RemoveField("order", "paid")'
ADD = 'migrations.AddField("order", "memo", models.TextField(null=True))'
NOTHING = "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)"


def test_what_depends_on_a_contract_migration_waits_with_it(app: Shop, live: str) -> None:
    drop = app.write("0002_drop", DROP)
    after = app.write("0003_data", NOTHING)
    report = judged(live)
    assert report.contract == (drop, after)
    assert report.ok


def test_refuses_a_migration_that_the_new_code_needs_behind_a_contract_one(app: Shop, live: str) -> None:
    app.write("0002_drop", DROP)
    app.write("0003_memo", ADD)
    (error,) = [finding for finding in judged(live).findings if finding.level == "error"]
    assert error.id == "deploy.M003"
    assert error.place == "shop.0003_memo"
    assert "shop.0002_drop" in error.message


def test_removes_a_required_column_in_one_release_when_it_is_made_optional_first(
    app: Shop, live: str
) -> None:
    relax = app.write("0002_relax", 'migrations.AlterField("order", "total", models.IntegerField(null=True))')
    drop = app.write("0003_drop", 'migrations.RemoveField("order", "total")')
    report = judged(live)
    assert report.ok
    assert (report.expand, report.contract) == ((relax,), (drop,))


def test_judges_against_the_code_of_the_ledger_not_of_the_database(app: Shop, deployed: str) -> None:
    """The column came and went between two releases: the deployed code never knew it."""
    memo = app.write("0002_memo", ADD)
    run_all(deployed)
    app.write("0003_drop", 'migrations.RemoveField("order", "memo")')
    assert judged(deployed).contract == (("shop", "0003_drop"),)
    assert judged(deployed, deployed=plan.applied(deployed) - {memo}).contract == ()


def test_a_check_before_set_not_null_spares_the_scan(app: Shop, live: str) -> None:
    app.write(
        "0002_check",
        "migrations.RunSQL('ALTER TABLE shop_order ADD CONSTRAINT p CHECK (paid IS NOT NULL) NOT VALID', '')",
    )
    app.write("0003_validate", "migrations.RunSQL('ALTER TABLE shop_order VALIDATE CONSTRAINT p', '')")
    app.write("0004_not_null", "migrations.RunSQL('ALTER TABLE shop_order ALTER paid SET NOT NULL', '')")
    assert not [finding for finding in judged(live).findings if finding.id == "deploy.M013"]


def test_what_the_run_itself_creates_may_be_locked(app: Shop, live: str) -> None:
    app.write("0002_tag", 'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True))])')
    app.write("0003_index", 'migrations.AddField("tag", "name", models.TextField(db_index=True, default=""))')
    assert not judged(live).findings


def test_the_fingerprint_follows_order_phases_and_source(app: Shop, live: str) -> None:
    app.write("0002_memo", ADD)
    first = judged(live).plan_fingerprint
    assert judged(live).plan_fingerprint == first
    path = app.root / app.package / "migrations" / "0002_memo.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert judged(live).plan_fingerprint != first


def test_an_empty_database_has_no_old_code(app: Shop, database: str) -> None:
    app.write("0002_drop", 'migrations.RenameField("order", "note", "remark")')
    report = judged(database)
    assert report.contract == ()
    assert report.ok


def test_goes_on_when_one_migrations_sql_cannot_be_made(app: Shop, live: str) -> None:
    head = """
        class AsksTheDatabase(migrations.RunSQL):
            def database_forwards(self, app_label, schema_editor, from_state, to_state):
                schema_editor.connection.cursor()
    """
    app.write("0002_asks", 'AsksTheDatabase("SELECT 1", "SELECT 1")', head=head)
    app.write("0003_rename", 'migrations.RenameField("order", "note", "remark")')
    found = {finding.id: finding.place for finding in judged(live).findings}
    assert found == {"deploy.M026": "shop.0002_asks", "deploy.M001": "shop.0003_rename"}


def test_judging_never_runs_python_and_never_writes(app: Shop, live: str) -> None:
    head = "def boom(apps, editor): raise AssertionError('it ran')"
    app.write(
        "0002_data", "migrations.SeparateDatabaseAndState([migrations.RunPython(boom, boom)])", head=head
    )
    assert judged(live).ok


def test_squashed_migrations_count_as_applied_when_their_parts_are(app: Shop, deployed: str) -> None:
    app.write("0002_memo", ADD)
    run_all(deployed)
    squash = app.root / app.package / "migrations" / "0001_squashed.py"
    initial = (app.root / app.package / "migrations" / "0001_initial.py").read_text()
    body = initial.replace(
        "    atomic", '    replaces = [("shop", "0001_initial"), ("shop", "0002_memo")]\n    atomic'
    )
    squash.write_text(body)
    assert judged(deployed).pending == ()
    assert ("shop", "0001_squashed") in plan.applied(deployed)
    assert plan.leaves()["shop"] == ["0001_squashed"]


def test_reports_two_leaves_and_a_history_that_contradicts_the_graph(app: Shop, deployed: str) -> None:
    app.write("0002_a", NOTHING)
    app.names.remove("0002_a")
    app.write("0002_b", NOTHING)
    loader = plan.load(deployed)
    (two,) = plan.graph_findings(loader, deployed)
    assert two.id == "deploy.M008"
    assert "0002_a, 0002_b" in two.message
    app.write("0003_c", NOTHING)
    from .project import query

    query(deployed, "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0003_c', now())")
    found = plan.graph_findings(plan.load(deployed), deployed)
    assert "deploy.M007" in {finding.id for finding in found}
