"""From a finding to the line of the operation that it is about."""

from pathlib import Path

import pytest

from deploy.gate.graph.source import locate, place_of
from deploy.gate.static.declared import NOT_EXPAND
from deploy.reporting.findings import Finding
from deploy.reporting.location import Location, top_of

from .project import Shop, judged

SEVERAL = """
        migrations.AddField("order", "memo", models.TextField(null=True)),
        migrations.SeparateDatabaseAndState([
            migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx")),
        ]),
        migrations.RunPython(lambda apps, editor: None),
        migrations.RemoveField("order", "paid"),
"""


def lines(app: Shop, alias: str) -> dict[str, str]:
    """The source line that each finding points at."""
    found = {}
    for finding in judged(alias).findings:
        at = locate(finding, app.root)
        assert at is not None
        found[finding.id] = (app.root / at.path).read_text().splitlines()[at.line - 1].strip()
    return found


def test_points_at_the_operation(app: Shop, live: str) -> None:
    app.write("0002_case", SEVERAL)
    found = lines(app, live)
    assert found["deploy.M010"].startswith("migrations.SeparateDatabaseAndState(")
    assert found["deploy.M022"].startswith("migrations.RunPython(")
    assert found["deploy.M001"].startswith('migrations.RemoveField("order", "paid")')
    assert found["deploy.M023"] == "class Migration(migrations.Migration):"


@pytest.mark.parametrize("operations", ["*[", "] + ["])
def test_points_at_the_class_where_the_list_is_made_by_code(app: Shop, live: str, operations: str) -> None:
    written = 'migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx"))'
    written = f"*[{written}]" if operations == "*[" else f"] + [{written}"
    app.write("0002_case", written)
    assert lines(app, live) == {"deploy.M010": "class Migration(migrations.Migration):"}


def at(app: Shop, place: str) -> Location | None:
    return locate(NOT_EXPAND(problem="…", place=place), app.root)


def test_a_place_without_an_operation_is_the_class(app: Shop) -> None:
    found = at(app, "shop.0001_initial")
    assert found is not None
    text = (app.root / found.path).read_text().splitlines()
    assert text[found.line - 1] == "class Migration(migrations.Migration):"
    assert at(app, place_of(("shop", "0001_initial"), 99)) == found


def test_an_app_is_its_models(app: Shop) -> None:
    assert at(app, "shop") == Location(f"{app.package}/models.py", 1)


@pytest.mark.parametrize(
    "place",
    ["shop.0099_none", "shop.../x", "none.0001_initial", "shop.Order", "", "https://x", "auth.0001_initial"],
)
def test_what_is_nowhere_in_the_tree_has_no_location(app: Shop, place: str) -> None:
    assert at(app, place) is None


def test_a_model_is_its_class() -> None:
    """The suite's own project has models in files."""
    root = Path(__file__).resolve().parents[2]
    found = locate(Finding("deploy.M041", "error", "m", "h", "optifit.Feedback"), root)
    assert found is not None
    assert (root / found.path).read_text().splitlines()[found.line - 1] == "class Feedback(models.Model):"


def test_the_top_is_where_git_is(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "backend" / "site"
    inside.mkdir(parents=True)
    assert top_of(inside) == tmp_path.resolve()


def test_a_file_that_is_no_python_is_line_one(app: Shop) -> None:
    (app.root / app.package / "migrations" / "0002_broken.py").write_text("class Migration(:")
    assert at(app, "shop.0002_broken") == Location(f"{app.package}/migrations/0002_broken.py", 1)
