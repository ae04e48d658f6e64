"""What old, large projects carry with them: each is reported, and the rest of the project is still judged."""

from pathlib import Path

import pytest

from .old_project import KEY, OldProject, migration

NAMED = '("name", models.CharField(max_length=20))'
ITEM = f'migrations.CreateModel("Item", [{KEY}, {NAMED}])'
MODEL = "class Item(models.Model):\n    name = models.CharField(max_length=20)\n"
FIRST = {"0001_initial": migration(ITEM, body="initial = True")}
ELSEWHERE = "good.0002_rename"


@pytest.fixture
def project(tmp_path: Path) -> OldProject:
    return with_healthy_app(tmp_path)


def with_healthy_app(root: Path) -> OldProject:
    """One healthy app, whose last migration breaks the deployed code: proof that the rest is judged."""
    made = OldProject(root)
    rename = migration('migrations.RenameField("item", "name", "title")', after="good.0001_initial")
    made.app("good", MODEL.replace("name", "title"), {**FIRST, "0002_rename": rename})
    return made


def old(
    project: OldProject,
    operations: str = "",
    *,
    head: str = "",
    models: str = MODEL,
    name: str = "old",
    **more: str,
) -> None:
    """An app with a second migration; `more` are further migrations by name."""
    second = migration(operations, after=f"{name}.0001_initial", head=head)
    project.app(name, models, {**FIRST, "0002_old": second, **more})


def late(after: str) -> str:
    """A migration that breaks the deployed code: it gets M001 where it is judged."""
    return migration('migrations.RenameField("item", "name", "title")', after=after)


# App name: head of its second migration, which is broken; its third is sound.
BROKEN_MODULES = {
    "removed_package": "import south_removed",
    "removed_model": "from removed_model.models import Gone",
    "removed_field_class": "models.NullBooleanFieldOfOld()",
    "raises": "raise ValueError('no')",
    "exits": "raise SystemExit('no')",
    "syntax": "def (",
    "missing_library": "import django.contrib.gis.db.models",
}


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory: pytest.TempPathFactory) -> OldProject:
    made = with_healthy_app(tmp_path_factory.mktemp("unreadable"))
    for name, head in BROKEN_MODULES.items():
        old(made, head=head, name=name, **{"0003_late": late(after=f"{name}.0002_old")})
    return made


def test_migrations_that_cannot_be_imported_are_named_with_their_lines(unreadable: OldProject) -> None:
    for arguments in (["check", "--all"], ["check"]):
        ran = unreadable.run(*arguments)
        assert ran.code == 1
        for name in BROKEN_MODULES:
            assert ran.ids(f"{name}.0002_old") == ["M100"], name
            assert f"{name}/migrations/0002_old.py:2 cannot be imported" in ran.text("M100")
            assert ran.ids(name) == []  # models.py is not compared with a history that has a gap
    ran = unreadable.run("check", "--all")
    assert ran.ids(ELSEWHERE) == ["M001"]
    for name in BROKEN_MODULES:
        assert ran.ids(f"{name}.0003_late") == ["M001"], name


def test_what_runs_migrations_takes_no_such_liberty(unreadable: OldProject) -> None:
    ran = unreadable.run("apply", "--phase", "all")
    assert ran.code == 1
    assert "apply" not in [step["name"] for step in ran.report["steps"]]
    ran = unreadable.run("wait", "--timeout", "0")
    assert ran.ids() == ["M006"]
    assert "migrations/0002_old.py:2: " in ran.text("M006")


# App name: operations of its second migration, what they need, and the finding that they get.
FAULTS = {
    "no_model": ('migrations.AddField("gone", "a", models.IntegerField(null=True))', "", "M101"),
    "no_field": ('migrations.RemoveField("item", "gone")', "", "M101"),
    "operation_raises": ("Raises()", """
        from django.db.migrations.operations.base import Operation
        class Raises(Operation):
            def state_forwards(self, app_label, state):
                raise RuntimeError("no")
        """, "M101"),
    "operation_asks": ("Asks()", """
        from django.db.migrations.operations.base import Operation
        class Asks(Operation):
            reduces_to_sql = reversible = True
            def state_forwards(self, app_label, state):
                pass
            def database_forwards(self, app_label, editor, before, after):
                with editor.connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
        """, "M026"),
    "default_raises": ('migrations.AddField("item", "a", models.IntegerField(default=boom))', """
        def boom():
            raise RuntimeError("no")
        """, "M026"),
    "field_asks": ('migrations.AddField("item", "a", Asks(null=True))', """
        class Asks(models.Field):
            def db_type(self, connection):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
        """, "M026"),
    "field_raises": ('migrations.AddField("item", "a", Raises(null=True))', """
        class Raises(models.Field):
            def db_type(self, connection):
                raise RuntimeError("its library is gone")
        """, "M026"),
    "reference_to_nowhere": (
        'migrations.AddField("item", "a", models.ForeignKey("gone.Thing", models.CASCADE, null=True))',
        "", "M026",
    ),
    "parameters_by_name": ('migrations.RunSQL([("SELECT %(a)s", {"a": 1})], "")', "", "M026"),
}  # fmt: skip


def test_operations_that_cannot_be_judged_end_nothing(project: OldProject) -> None:
    for name, (operations, head, _) in FAULTS.items():
        old(project, operations, head=head, name=name, **{"0003_late": late(after=f"{name}.0002_old")})
    for arguments in (["check", "--all"], ["check"]):
        ran = project.run(*arguments)
        for name, (_, _, expected) in FAULTS.items():
            assert expected in ran.ids(f"{name}.0002_old"), name
    ran = project.run("check", "--all")
    assert ran.ids(ELSEWHERE) == ["M001"]
    # A default that can't be had is reported, and the column is judged all the same.
    assert "M001" in ran.ids("default_raises.0002_old")
    for name in set(FAULTS) - {"reference_to_nowhere"}:
        assert "M001" in ran.ids(f"{name}.0003_late"), name


def test_a_model_that_cannot_be_built_leaves_the_others(project: OldProject) -> None:
    kid = 'migrations.CreateModel("Kid", [("x", models.IntegerField())], bases=("gone.Parent",))'
    old(project, kid, **{"0003_late": late(after="old.0002_old")})
    ran = project.run("check", "--all")
    assert "old.Kid: it refers to gone.parent, which no migration makes" in ran.text("M026")
    assert ran.ids("old.0003_late") == ["M001"]


@pytest.mark.parametrize(
    ("attribute", "name"), [("dependencies", "gone.0001_initial"), ("run_before", "good.0009_gone")]
)
def test_a_dependency_on_nothing_is_named_and_left_out(
    project: OldProject, attribute: str, name: str
) -> None:
    app, migration_name = name.split(".")
    body = f"initial = True\n    {attribute} = [({app!r}, {migration_name!r})]"
    text = migration(ITEM).replace("initial = False", body)
    if attribute == "dependencies":
        text = text.replace("    dependencies = []\n", "")
    project.app("old", MODEL, {"0001_initial": text})
    ran = project.run("check", "--all")
    assert (ran.code, ran.ids("old.0001_initial"), ran.ids(ELSEWHERE)) == (1, ["M006"], ["M001"])
    assert f"names {name} in {attribute}" in ran.text("M006")


def test_a_circle_is_one_finding(project: OldProject) -> None:
    project.app("old", MODEL, {
        "0001_initial": migration(ITEM, after="old.0002_old"),
        "0002_old": migration("", after="old.0001_initial"),
    })  # fmt: skip
    ran = project.run("check", "--all")
    assert (ran.code, ran.ids()) == (1, ["M006"])


def test_folders_that_django_passes_over_are_named(project: OldProject) -> None:
    project.app("old", MODEL, FIRST)
    (project.root / "old" / "migrations" / "__init__.py").unlink()
    ran = project.run("check", "--all")
    assert ran.ids("old") == ["M102"]
    assert ran.ids(ELSEWHERE) == ["M001"]


def test_a_moved_migration_package(project: OldProject) -> None:
    project.app("old", MODEL)
    for path in ("moved/__init__.py", "moved/old/__init__.py"):
        project.file(path, "")
    project.file("moved/old/0001_initial.py", FIRST["0001_initial"])
    project.file("moved/old/0002_late.py", late(after="old.0001_initial"))
    project.settings = "MIGRATION_MODULES = {'old': 'moved.old'}"
    assert project.run("check", "--all").ids("old.0002_late") == ["M001"]
    project.settings = "MIGRATION_MODULES = {'old': 'moved_again.old'}"  # migrate refuses to start then
    ran = project.run("check", "--all")
    assert (ran.code, ran.ids("old"), ran.ids(ELSEWHERE)) == (1, ["M100"], ["M001"])
    project.settings = "MIGRATION_MODULES = {'old': None}"
    assert project.run("check", "--all").ids() == ["M001"]


def test_apps_without_migrations_and_references_to_them(project: OldProject) -> None:
    project.app("bare", MODEL)
    reference = 'models.ForeignKey("bare.Item", models.CASCADE)'
    project.app(
        "old", f"class Kid(models.Model):\n    item = {reference}\n",
        {"0001_initial": migration(f'migrations.CreateModel("Kid", [{KEY}, ("item", {reference})])')},
    )  # fmt: skip
    assert project.run("check", "--all").ids() == ["M001"]
    assert project.run("check").code == 0


@pytest.mark.parametrize("engine", ["mysql", "oracle"])
def test_engines_that_are_not_supported(tmp_path: Path, engine: str) -> None:
    """Their drivers are not installed here: Django itself can't even load a model."""
    project = OldProject(tmp_path, databases={"default": {"ENGINE": f"django.db.backends.{engine}"}})
    project.app("old", MODEL, FIRST)
    for arguments in (["check"], ["check", "--all"], ["apply"], ["rehearse", "--scratch", "x"]):
        ran = project.run(*arguments)
        assert (ran.code, ran.ids()) == (2, ["D002"])
    assert f"django.db.backends.{engine}" in ran.text("D002")


def test_an_engine_that_does_not_exist(project: OldProject) -> None:
    project.databases["other"] = {"ENGINE": "gone.backend"}
    ran = project.run("check", "--alias", "other")
    assert (ran.code, ran.ids()) == (2, ["D010"])
    assert project.run("check").code == 0
    project.databases["default"] = {"ENGINE": "gone.backend"}
    ran = project.run("check")
    assert (ran.code, ran.ids()) == (2, ["D010"])


def test_routers_that_cannot_be_loaded(project: OldProject) -> None:
    project.settings = "DATABASE_ROUTERS = ['gone.Router']"
    ran = project.run("check", "--all")
    assert (ran.code, ran.ids()) == (2, ["M103"])
