"""Old projects and their databases: routers, swapped users, squashed histories, SQL of every kind.

All of it is judged and rehearsed by the real command.
"""

# ruff: noqa: E501 – migrations read best with an operation to a line

from pathlib import Path

import pytest
from django.db import connections

from .old_project import KEY, OldProject, migration
from .project import postgres
from .test_old_projects import FIRST, ITEM, MODEL, late, old, with_healthy_app

ABSENT = {"ENGINE": "django.db.backends.postgresql", "NAME": "absent", "HOST": "/nowhere"}
NOT_JUDGED = {"M026", "M100", "M101", "M104", "M105"}


@pytest.fixture
def project(tmp_path: Path) -> OldProject:
    return with_healthy_app(tmp_path)


def test_every_operation_of_contrib_postgres_is_judged(tmp_path: Path) -> None:
    project = OldProject(tmp_path, databases={"default": ABSENT})
    head = """
        from django.contrib.postgres import constraints, fields, indexes, operations as pg, search
        from django.db.models import F, Q
        """
    extensions = ("Bloom", "BtreeGin", "BtreeGist", "CIText", "Crypto", "HStore", "Trigram", "Unaccent")
    created = ", ".join(f"pg.{name}Extension()" for name in extensions)
    fields = """
        ("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20)),
        ("tags", fields.ArrayField(models.CharField(max_length=10), size=8)), ("data", fields.HStoreField()),
        ("span", fields.DateTimeRangeField()), ("ages", fields.IntegerRangeField(null=True)),
        ("prices", fields.DecimalRangeField(null=True)), ("words", search.SearchVectorField(null=True)),
        """
    indexed = ", ".join(
        f'migrations.AddIndex("thing", indexes.{kind}(fields=[{column!r}], name="{kind.lower()}"))'
        for kind, column in (
            ("GinIndex", "tags"), ("GistIndex", "span"), ("BrinIndex", "id"), ("BTreeIndex", "name"),
            ("HashIndex", "name"), ("SpGistIndex", "ages"), ("BloomIndex", "id"),
        )
    )  # fmt: skip
    excluded = (
        'migrations.AddConstraint("thing", constraints.ExclusionConstraint(name="apart", '
        'expressions=[("span", "&&"), ("name", "=")], condition=Q(id__gt=1)))'
    )
    project.app("old", "", {
        "0001_extensions": migration(f"{created}, pg.CreateExtension('pgstattuple')", head=head),
        "0002_table": migration(f'migrations.CreateModel("Thing", [{fields}])', head=head, after="old.0001_extensions"),
        "0003_indexes": migration(indexed, head=head, after="old.0002_table"),
        "0004_exclusion": migration(excluded, head=head, after="old.0003_indexes"),
        "0005_concurrently": migration(
            'pg.AddIndexConcurrently("thing", models.Index(fields=["ages"], name="later")), '
            'pg.RemoveIndexConcurrently("thing", "hashindex")',
            head=head, after="old.0004_exclusion", body="atomic = False"),
        "0006_check": migration(
            'pg.AddConstraintNotValid("thing", models.CheckConstraint(condition=Q(id__gt=0), name="positive"))',
            head=head, after="old.0005_concurrently"),
        "0007_validate": migration('pg.ValidateConstraint("thing", "positive")', head=head, after="old.0006_check"),
        "0008_collation": migration(
            'pg.CreateCollation("case_insensitive", provider="icu", locale="und-u-ks-level2", deterministic=False), '
            'migrations.AlterField("thing", "name", models.CharField(max_length=20, db_collation="case_insensitive"))',
            head=head, after="old.0007_validate"),
        "0009_no_collation": migration(
            'migrations.AlterField("thing", "name", models.CharField(max_length=20)), '
            'pg.RemoveCollation("case_insensitive", provider="icu", locale="und-u-ks-level2")',
            head=head, after="old.0008_collation"),
    })  # fmt: skip
    ran = project.run("check", "--all")
    assert not NOT_JUDGED & set(ran.ids())
    assert ran.ids("old.0003_indexes").count("M010") == 7
    assert ran.ids("old.0004_exclusion") == ["M014"]
    assert ran.ids("old.0005_concurrently") == ran.ids("old.0007_validate") == []


ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, model_name=None, **hints):
        if "only" in hints:
            return db == hints["only"]
        return (db == "other") == (app_label == "stats")
"""


def test_each_database_is_judged_by_what_its_router_lets_it_hold(project: OldProject) -> None:
    project.databases["other"] = {**project.databases["default"], "NAME": str(project.root / "other.sqlite3")}
    project.file("routers_.py", ROUTER)
    project.settings = "DATABASE_ROUTERS = ['routers_.Router']"
    project.app("stats", MODEL.replace("name", "title"), {
        **FIRST,
        "0002_late": late(after="stats.0001_initial"),
        "0003_sql": migration(
            'migrations.RunSQL("DELETE FROM stats_item", "", hints={"only": "other"})', after="stats.0002_late"
        ),
    })  # fmt: skip
    everywhere = ("stats.0002_late", "good.0002_rename")
    ran = project.run("check", "--all")
    assert [ran.ids(place) for place in everywhere] == [[], ["M001"]]
    ran = project.run("check", "--all", "--alias", "other")
    assert [ran.ids(place) for place in everywhere] == [["M001"], []]
    ran = project.run("check", "--alias", "other")
    assert ran.code in {0, 1}
    for alias in ("default", "other"):
        assert project.manage("migrate", "--database", alias) == 0
        assert project.run("check", "--alias", alias).ids() == []


def test_a_swapped_user_model(project: OldProject) -> None:
    user = (
        "from django.contrib.auth.models import AbstractBaseUser\nclass Person(AbstractBaseUser):\n"
        "    login = models.CharField(max_length=20, unique=True)\n    USERNAME_FIELD = 'login'\n"
    )
    note = "class Note(models.Model):\n    by = models.ForeignKey('people.Person', models.CASCADE)\n"
    project.settings = "AUTH_USER_MODEL = 'people.Person'"
    project.app(
        "people",
        user,
        {
            "0001_initial": migration(f"""
        migrations.CreateModel("Person", [{KEY}, ("password", models.CharField(max_length=128,
            verbose_name="password")),
            ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
            ("login", models.CharField(max_length=20, unique=True))], options={{"abstract": False}})""")
        },
    )
    project.app("notes", note, {
        "0001_initial": migration(
            f'migrations.CreateModel("Note", [{KEY}, ("by", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE))])',
            head="from django.conf import settings").replace(
                "dependencies = []", "dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"),
        "0002_more": migration(
            'migrations.AddField("note", "seen", models.ManyToManyField(settings.AUTH_USER_MODEL)), '
            'migrations.RemoveField("note", "seen")',
            head="from django.conf import settings", after="notes.0001_initial"),
    })  # fmt: skip
    ran = project.run("check", "--all")
    assert set(ran.ids()) - {"M002"} == {"M001"}
    assert ran.ids("good.0002_rename") == ["M001"]
    assert not NOT_JUDGED & set(ran.ids())


SQUASHED = {
    **FIRST,
    "0002_a": migration(
        'migrations.AddField("item", "a", models.TextField(null=True))', after="old.0001_initial"
    ),
    "0003_b": migration('migrations.AddField("item", "b", models.TextField(null=True))', after="old.0002_a"),
}
WHOLE = migration(
    f'migrations.CreateModel("Item", [{KEY}, ("name", models.CharField(max_length=20)), '
    '("a", models.TextField(null=True)), ("b", models.TextField(null=True))])',
    body='replaces = [("old", "0001_initial"), ("old", "0002_a"), ("old", "0003_b")]',
)
FULL_MODEL = MODEL + "    a = models.TextField(null=True)\n    b = models.TextField(null=True)\n"


@pytest.mark.parametrize("applied", ["zero", "0002", "0003"])
@pytest.mark.parametrize("replaced_are_there", [True, False])
def test_squashed_migrations(project: OldProject, applied: str, replaced_are_there: bool) -> None:
    project.app("old", FULL_MODEL, SQUASHED)
    if applied != "zero":
        assert project.manage("migrate", "old", applied) == 0
    project.file("old/migrations/0001_squashed.py", WHOLE)
    if not replaced_are_there:
        for name in SQUASHED:
            (project.root / "old" / "migrations" / f"{name}.py").unlink()
    last = "0001_squashed" if not replaced_are_there or applied != "0002" else "0003_b"
    project.file("old/migrations/0004_late.py", late(after=f"old.{last}"))
    project.file("old/models.py", "from django.db import models\n" + FULL_MODEL.replace("name", "title"))
    ran = project.run("check", "--all")
    assert ran.ids("old.0004_late") == ["M001"]
    ran = project.run("check")
    if applied == "0002" and not replaced_are_there:  # Django cannot go on from there either
        assert (ran.code, ran.ids("old.0001_squashed")) == (1, ["M106"])
    elif applied == "zero":
        assert ran.ids("old.0004_late") == []  # the table is new: nobody uses it
    else:
        assert ran.ids("old.0004_late") == ["M001"]


# Each is one RunSQL; what PostgreSQL can't read is no reason to stop.
STRANGE_SQL = [
    '[("INSERT INTO old_item (name) VALUES (%s)", ["it\'s"]), "SELECT 1", ("SELECT 1", None)]',
    '"UPDATE old_item SET name = name || \'50%\' WHERE name LIKE \'%x%\'"',
    '[("SELECT %s, \'%%\'", [b"bytes"]), ("SELECT %s", [[1, 2]])]',
    '"PRAGMA foreign_keys = OFF"', '"ALTER TABLE `old_item` MODIFY COLUMN `name` varchar(3) AFTER `id`"',
    r'"\\d old_item\n\\i other.sql"', '""', "[]", '";; ; -- nothing\\n/* at all */"', '"SELECT 1; " * 5000',
    '"CREATE TABLE IF NOT EXISTS x (a INTEGER PRIMARY KEY AUTOINCREMENT)"', '"SELECT \'no end"',
    '"SELECT $$ no end"', r'"\x00SELECT"', r'"COPY old_item FROM stdin;\n1\tx\n\\.\n"', '"DELIMITER //"',
    r'"SELECT \'\ud83d\'"', '[("SELECT %(a)s", {"a": 1})]', '("SELECT 1", "SELECT 2")',
    '[("SELECT %s", ["a", "b"])]', "None",
]  # fmt: skip


def test_sql_of_every_kind_is_looked_at(project: OldProject) -> None:
    old(project)
    for number, sql in enumerate(STRANGE_SQL, 3):
        before = "0002_old" if number == 3 else f"{number - 1:04d}_sql"
        text = migration(f"migrations.RunSQL({sql}, elidable=True)", after=f"old.{before}")
        project.file(f"old/migrations/{number:04d}_sql.py", text)
    project.file("old/migrations/0099_late.py", late(after=f"old.{len(STRANGE_SQL) + 2:04d}_sql"))
    for engine in (project.databases["default"], ABSENT):
        project.databases["default"] = engine
        ran = project.run("check", "--all")
        assert ran.ids("old.0099_late") == ["M001"]


def test_tables_that_are_odd_to_name(project: OldProject) -> None:
    project.databases["default"] = ABSENT
    long, longer = "t" * 63, "c" * 70
    project.app("old", "", {
        **FIRST,
        "0002_other_schema": migration(
            """migrations.AlterModelTable("item", '"other"."table"'), """
            'migrations.AddField("item", "a", models.IntegerField(null=True, db_index=True))',
            after="old.0001_initial"),
        "0003_long": migration(
            f'migrations.AlterModelTable("item", "{long}"), migrations.AddField("item", "{longer}", '
            'models.ForeignKey("old.Item", models.CASCADE, null=True))', after="old.0002_other_schema"),
        "0004_upper": migration(
            'migrations.AlterModelTable("item", "Select"), migrations.AddField("item", "order", '
            'models.IntegerField(null=True, db_column="Group By"))', after="old.0003_long"),
        "0005_together": migration(
            'migrations.AlterUniqueTogether("item", {("name", "order")}), '
            'migrations.AlterOrderWithRespectTo("item", None)', after="old.0004_upper"),
        "0006_proxy": migration(
            'migrations.CreateModel("Proxy", [], options={"proxy": True}, bases=("old.item",)), '
            f'migrations.CreateModel("Outside", [{KEY}], options={{"managed": False, "db_table": "a_view"}}), '
            'migrations.AddField("outside", "x", models.IntegerField()), '
            'migrations.AlterModelOptions("proxy", {"ordering": ["name"], "proxy": True})',
            after="old.0005_together"),
        "0007_child": migration(
            'migrations.CreateModel("Kid", [("item_ptr", models.OneToOneField(auto_created=True, '
            'on_delete=models.CASCADE, parent_link=True, primary_key=True, serialize=False, to="old.item")), '
            '("toy", models.TextField())], bases=("old.item",))', after="old.0006_proxy"),
        "0008_child": migration('migrations.RemoveField("kid", "toy")', after="old.0007_child"),
    })  # fmt: skip
    ran = project.run("check", "--all")
    assert not NOT_JUDGED & set(ran.ids())
    assert ran.ids("old.0006_proxy") == ran.ids("old.0007_child") == []
    assert ran.ids("old.0008_child") == ["M001"]


def test_a_thousand_migrations(project: OldProject) -> None:
    history = dict(FIRST)
    for number in range(2, 1001):
        add = f'migrations.AddField("item", "f{number}", models.IntegerField(null=True))'
        before = "0001_initial" if number == 2 else f"{number - 1:04d}_more"
        operation = 'migrations.RunSQL("SELECT 1", "")' if number % 10 else add
        history[f"{number:04d}_more"] = migration(operation, after=f"old.{before}")
    fields = "".join(f"    f{number} = models.IntegerField(null=True)\n" for number in range(10, 1001, 10))
    project.app("old", MODEL + fields, history)
    assert project.run("check", "--all").ids() == ["M001"]


NEEDS_DATA = """
def work(apps, schema_editor):
    item = apps.get_model("old", "Item").objects.using(schema_editor.connection.alias).get(name="the first")
    item.name = "found"
    item.save()
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_rehearsal_reports_what_fails_there_and_says_what_it_could_not_try(
    project: OldProject, engine: str
) -> None:
    """Code that needs data which is not there is a finding of the rehearsal, on a copy that may be broken by it."""
    work = migration(
        "migrations.RunPython(work, migrations.RunPython.noop)", after="old.0001_initial", head=NEEDS_DATA
    )
    odd = """
class Odd(models.Field):
    def db_type(self, connection):
        return "text"
    def get_db_prep_value(self, value, connection, prepared=False):
        raise RuntimeError("its service is down")
"""
    project.file("odd_.py", "from django.db import models\n" + odd)
    project.app(
        "odd",
        "import odd_\n" + MODEL + "    odd = odd_.Odd()\n",
        {"0001_initial": migration(ITEM.replace("])", ', ("odd", odd_.Odd())])'), head="import odd_")},
    )
    with postgres("old_site", named="deploy_scratch") as alias:
        entry = connections.settings[alias]
        if engine == "postgresql":
            keep = ("ENGINE", "NAME", "USER", "HOST", "PORT")
            live = {name: entry[name] for name in keep}
            project.databases["default"] = {**live, "NAME": "postgres"}
            scratch = entry["NAME"]
        else:
            scratch = "deploy_scratch_copy"
            (project.root / scratch).write_bytes(b"")
        project.app("old", MODEL, {**FIRST, "0002_work": work})
        ran = project.run("rehearse", "--scratch", scratch, "--deployed-from-database")
        assert ran.code == 1
        assert "M040" in ran.ids("old.0002_work")
        assert "DoesNotExist" in ran.text("M040")


def test_packages_of_others_are_not_judged_for_their_history(project: OldProject) -> None:
    """What an installed package brings is judged when it is pending; its history is not the project's to change."""
    folder = project.root / "lib" / "site-packages"
    project.paths = [str(folder)]
    project.apps.append("bought")
    for name in ("__init__.py", "migrations/__init__.py"):
        project.file(f"lib/site-packages/bought/{name}", "")
    project.file(
        "lib/site-packages/bought/models.py",
        "from django.db import models\n" + MODEL.replace("name", "title"),
    )
    project.file("lib/site-packages/bought/migrations/0001_initial.py", FIRST["0001_initial"])
    assert project.manage("migrate") == 0
    project.file("lib/site-packages/bought/migrations/0002_late.py", late(after="bought.0001_initial"))
    assert project.run("check", "--all").ids() == ["M001"]
    assert project.run("check").ids() == ["M001"]
    assert project.run("check").ids("bought.0002_late") == ["M001"]


def test_leftovers_of_index_together(project: OldProject) -> None:
    project.databases["default"] = ABSENT
    together = ITEM.replace("])", '], options={"index_together": {("id", "name")}})')
    project.app("old", "", {
        "0001_initial": migration(together),
        "0002_named": migration(
            'migrations.RenameIndex("item", new_name="named", old_fields=("id", "name"))', after="old.0001_initial"),
        "0003_none": migration('migrations.RemoveIndex("item", "named")', after="old.0002_named"),
    })  # fmt: skip
    ran = project.run("check", "--all")
    assert not NOT_JUDGED & set(ran.ids())
    assert ran.ids("old.0001_initial") == ran.ids("old.0002_named") == []
    assert ran.ids("old.0003_none") == ["M036"]


def test_a_rehearsal_outlives_what_ends_a_process_and_engines_that_cannot_be_loaded(
    project: OldProject,
) -> None:
    project.databases["archive"] = {"ENGINE": "django.db.backends.mysql", "NAME": "archive"}
    project.databases["replica"] = {"ENGINE": "gone.backend", "TEST": {"MIRROR": "default"}}
    leave = "migrations.RunPython(leave, migrations.RunPython.noop)"
    head = "import sys\ndef leave(apps, schema_editor):\n    sys.exit('no data')"
    project.app("old", MODEL, {**FIRST, "0002_leave": migration(leave, after="old.0001_initial", head=head)})
    (project.root / "deploy_scratch_copy").write_bytes(b"")
    ran = project.run("rehearse", "--scratch", "deploy_scratch_copy", "--deployed-from-database")
    assert (ran.code, ran.ids("old.0002_leave")) == (1, ["M040"])
    assert "SystemExit" in ran.text("M040")
