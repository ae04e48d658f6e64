"""`apply` runs what was rehearsed, on what it was rehearsed on, and says so when it is something else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from deploy.gate.rehearsing.evidence import Present, Proof, changed

from .project import postgres, query
from .test_command import MODELS, Site, ids

MEMO = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.AddField("item", "memo", models.TextField(null=True))]
"""
NOTE = MEMO.replace("0001_initial", "0002_memo").replace("memo", "note").replace("0002_note", "0002_memo")


@pytest.fixture
def server() -> Iterator[str]:
    with postgres() as alias:
        yield alias


@pytest.fixture
def site(tmp_path: Path, server: str) -> Site:
    """Its first migration is applied, its second one pending."""
    given = connections.settings[server]
    site = Site(tmp_path, {key: given[key] for key in ("ENGINE", "NAME", "HOST", "USER")})
    code, report = site.run("apply", "--phase", "all")
    assert code == 0, report
    assert facts(report, "evidence")["evidence"] == "none needed: the database is empty"
    add(site, "0002_memo", MEMO, "memo = models.TextField(null=True)")
    return site


def add(site: Site, name: str, text: str, field: str) -> None:
    (site.root / "stock" / "migrations" / f"{name}.py").write_text(text)
    models = site.root / "stock" / "models.py"
    models.write_text(f"{models.read_text()}    {field}\n")


def facts(report: dict, step: str) -> dict:
    return next(one["facts"] for one in report["steps"] if one["name"] == step)


def scratches(server: str) -> list[tuple[object, ...]]:
    return query(server, "SELECT datname FROM pg_database WHERE datname LIKE 'deploy_scratch%hand%'")


def test_applies_what_was_rehearsed_and_nothing_else(site: Site, server: str) -> None:
    code, report = site.run("apply")
    assert (code, ids(report)) == (1, ["deploy.M098"])
    code, report = site.run("rehearse", "--schema-only")
    assert code == 0, report
    assert "deploy.M048" in ids(report)
    assert facts(report, "rehearse")["copy"] == "schema and statistics only"
    assert facts(report, "rehearse")["evidence"].startswith("record ")
    add(site, "0003_note", NOTE, "note = models.TextField(null=True)")
    code, report = site.run("apply")
    assert (code, ids(report)) == (1, ["deploy.M097"])
    assert "migration plan" in report["steps"][-1]["findings"][0]["message"]
    (site.root / "stock" / "migrations" / "0003_note.py").unlink()
    (site.root / "stock" / "models.py").write_text(MODELS + "    memo = models.TextField(null=True)\n")
    query(server, "CREATE TABLE by_hand (id integer)")
    code, report = site.run("apply")
    assert (code, ids(report)) == (1, ["deploy.M097"])
    assert "database schema" in report["steps"][-1]["findings"][0]["message"]
    query(server, "DROP TABLE by_hand")
    code, report = site.run("apply")
    assert code == 0, report
    assert facts(report, "apply")["applied"] == ["stock.0002_memo"]
    assert scratches(server) == []


def test_a_person_may_go_on_without_and_it_is_recorded(site: Site) -> None:
    code, report = site.run("apply", "--unproved", "the copy does not fit on this server")
    assert code == 0, report
    assert ids(report) == ["deploy.M099"]
    records = [path.read_bytes() for path in (site.root / ".deploy").rglob("*") if path.is_file()]
    assert any(b"the copy does not fit on this server" in text for text in records)


def test_a_copy_is_made_of_a_template_and_dropped(site: Site, server: str) -> None:
    live = str(connections.settings[server]["NAME"])
    with connections[server].cursor():  # a session on the template
        code, report = site.run("rehearse", "--from-template", live)
        assert (code, ids(report)) == (2, ["deploy.M049"])
        hint = report["steps"][-1]["findings"][0]["hint"]
        assert "hand" not in hint  # its own copy is dropped
        assert "--scratch deploy_scratch_look" in hint
    connections[server].close()
    code, report = site.run("rehearse", "--from-template", live)
    assert code == 0, report
    assert facts(report, "rehearse")["copy"] == f"copy of {live}"
    assert scratches(server) == []
    assert site.run("apply")[0] == 0


def test_a_copy_of_another_schema_proves_nothing(site: Site, server: str) -> None:
    with postgres("gate_other", named="deploy_scratch") as other:
        code, report = site.run("rehearse", "--scratch", str(connections.settings[other]["NAME"]))
    assert code == 1
    assert "deploy.M096" in ids(report)
    assert site.run("apply")[0] == 1


def test_a_file_is_copied_as_a_whole(tmp_path: Path) -> None:
    site = Site(tmp_path, {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")})
    assert site.run("apply", "--phase", "all")[0] == 0
    add(site, "0002_memo", MEMO, "memo = models.TextField(null=True)")
    assert site.run("rehearse", "--schema-only")[0] == 2
    code, report = site.run("rehearse", "--from-template", "db.sqlite3")
    assert code == 0, report
    assert list(tmp_path.glob("deploy_scratch*")) == []
    assert site.run("apply")[0] == 0


PROOF = Proof("postgresql 180004", "s0", (("a.1", "f1", "s1"), ("a.2", "f2", "s2")))


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (Present("postgresql 180004", "s0", {"a.1": "f1", "a.2": "f2"}), ""),
        (Present("postgresql 180004", "s1", {"a.2": "f2"}), ""),  # the first part is applied
        (Present("postgresql 180004", "s9", {"a.2": "f2"}), "database schema"),
        (Present("postgresql 180004", "s9", {"a.2": "f2"}, interrupted=True), ""),
        (Present("postgresql 180004", "s0", {"a.1": "f1"}), "migration plan"),
        (Present("postgresql 180004", "s0", {"a.1": "f1", "a.2": "f3"}), "migration plan"),
        (Present("postgresql 180005", "s0", {"a.1": "f1", "a.2": "f2"}), "server version"),
    ],
)
def test_tells_what_is_not_as_it_was_proved(now: Present, what: str) -> None:
    assert changed(PROOF, now) == what
    assert Proof.from_dict(PROOF.as_dict()) == PROOF
