"""A migration that was changed after it had been applied, and what counts as a change."""

import pytest

from deploy.gate import own_sources
from deploy.gate.graph import plan
from deploy.gate.static.check import check
from deploy.gate.static.edited import digest
from deploy.reporting.findings import Finding

from .project import Shop, conf, run_all
from .test_since import Git, git_in, since

SOURCE = '''
"""A migration."""
from django.db import migrations
class Migration(migrations.Migration):
    """It does this."""
    operations = [migrations.RunSQL("SELECT 1", "")]
'''
SAME = {
    "a comment": SOURCE.replace("class", "# why\nclass"),
    "a docstring": SOURCE.replace("It does this.", "It does that."),
    "no docstring": SOURCE.replace('    """It does this."""\n', ""),
    "formatting": SOURCE.replace('"SELECT 1", ""', "\n    'SELECT '\n    '1',\n    ''\n"),
    "an acknowledgement": SOURCE.replace(
        "class",
        'from deploy.gate import acknowledge, phase\n@acknowledge("M030", "x")\n@phase("expand")\nclass',
    ),
}
OTHER = {
    "the statement": SOURCE.replace("SELECT 1", "SELECT 2"),
    "a type": SOURCE.replace('"SELECT 1"', 'b"SELECT 1"'),
    "a decorator": SOURCE.replace("class", "@other\nclass"),
    "an import": SOURCE.replace("import migrations", "import migrations, models"),
    "an attribute": SOURCE.replace("    operations", "    atomic = False\n    operations"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_changes_nothing_has_the_same_digest(case: str) -> None:
    assert SAME[case] != SOURCE
    assert digest(SAME[case].encode()) == digest(SOURCE.encode())


@pytest.mark.parametrize("case", OTHER)
def test_what_changes_something_has_another(case: str) -> None:
    assert digest(OTHER[case].encode()) != digest(SOURCE.encode())


def test_the_digest_is_that_of_every_version_of_python() -> None:
    """A value that is known: a new Python must not make all recorded migrations look edited."""
    assert digest(SOURCE.encode()) == "ab564624b40fc75fa43b9bf968b8e6d6"


def test_a_file_that_is_no_python_is_told_by_its_bytes() -> None:
    assert digest(b"class (") == digest(b"class (") != digest(b"class [")


def edited(app: Shop, alias: str, recorded: dict[str, tuple[str, str]]) -> list[Finding]:
    report = check(conf(), alias=alias, deployed=None, recorded=recorded)
    return [finding for finding in report.findings if finding.id in {"deploy.M089", "deploy.M082"}]


def test_names_the_migration_and_the_release_that_had_it(app: Shop, live: str) -> None:
    recorded = {name: (value, "release r7") for name, value in own_sources().items()}
    assert list(recorded) == ["shop.0001_initial"]
    path = app.root / app.package / "migrations" / "0001_initial.py"
    path.write_text(path.read_text().replace("import uuid", "import uuid  # not used"))
    assert edited(app, live, recorded) == []
    path.write_text(path.read_text().replace("max_length=100", "max_length=120"))
    (finding,) = edited(app, live, recorded)
    assert (finding.level, finding.place) == ("error", "shop.0001_initial")
    assert "since release r7 had it" in finding.message


def test_what_is_not_applied_may_be_edited(app: Shop, live: str) -> None:
    app.write("0002_sql", 'migrations.RunSQL("SELECT 1", "")')
    assert edited(app, live, {"shop.0002_sql": ("other", "release r7")}) == []


def test_a_reason_may_be_given(app: Shop, database: str) -> None:
    head = 'from deploy.gate import acknowledge\n@acknowledge("M089", "only an import was moved")'
    app.write("0002_sql", 'migrations.RunSQL("SELECT 1", "")', head=head)
    run_all(database)
    (finding,) = edited(app, database, {"shop.0002_sql": ("other", "release r7")})
    assert (finding.id, finding.level) == ("deploy.M089", "info")
    assert edited(app, database, {"shop.0002_sql": (own_sources()["shop.0002_sql"], "release r7")}) == []


def test_git_knows_what_a_branch_has_edited(app: Shop) -> None:
    git: Git = git_in(app.root)
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "-m", "first")
    path = app.root / app.package / "migrations" / "0001_initial.py"
    path.write_text(path.read_text() + "\n# a note\n")
    assert [finding for finding in since(app, "main").findings if finding.id == "deploy.M089"] == []
    path.write_text(path.read_text().replace("max_length=100", "max_length=120"))
    (finding,) = [finding for finding in since(app, "main").findings if finding.id == "deploy.M089"]
    assert finding.place == "shop.0001_initial"
    assert "since main (" in finding.message
    assert plan.load(None).graph.nodes
