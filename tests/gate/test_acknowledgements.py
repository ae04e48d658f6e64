"""A finding that a migration acknowledges, with a reason, is information; a mistake in that is a finding."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from deploy.gate import check
from deploy.gate.acknowledgements import settle
from deploy.gate.declarations import acknowledgements_of
from deploy.gate.graph import plan
from deploy.gate.run_findings import LOCK_TOO_LONG
from deploy.reporting.findings import Finding

from .project import Shop, conf, run_all

INDEX = 'migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx"))'
TODAY = date(2026, 11, 24)


def head(*lines: str) -> str:
    return "\n".join(["from datetime import date", "from deploy.gate import acknowledge", *lines])


def found(alias: str, *, everything: bool = False) -> list[Finding]:
    report = check(conf(database=alias), alias=alias, deployed=None, everything=everything)
    return [finding for finding in report.findings if finding.place == "shop.0002_case"]


@pytest.mark.parametrize("written", ['"deploy.M010"', '"M010"'])
def test_an_acknowledged_finding_is_information_with_its_reason(app: Shop, live: str, written: str) -> None:
    app.write("0002_case", INDEX, head=head(f'@acknowledge({written}, "the table has 200 rows")'))
    (finding,) = found(live)
    assert (finding.id, finding.level) == ("deploy.M010", "info")
    assert finding.message.endswith("Acknowledged: the table has 200 rows")


def test_each_acknowledgement_answers_for_one_finding(app: Shop, live: str) -> None:
    no_way_back = "migrations.RunPython(lambda apps, editor: None)"
    app.write("0002_case", f"{INDEX}, {no_way_back}", head=head('@acknowledge("M022", "no way back")'))
    levels = {finding.id: finding.level for finding in found(live)}
    assert levels["deploy.M022"] == "info"
    assert levels["deploy.M010"] == "warning"


def test_an_error_that_is_acknowledged_does_not_refuse(app: Shop, live: str) -> None:
    truncate = 'migrations.RunSQL("TRUNCATE shop_order", migrations.RunSQL.noop)'
    key = app.write("0002_case", truncate, head=head('@acknowledge("M018", "it only held drafts")'))
    assert {finding.level for finding in found(live)} == {"info"}
    assert check(conf(), alias=live, deployed=None).expand == (key,)


def test_acknowledges_with_every_migration_judged(app: Shop, live: str) -> None:
    app.write("0002_case", INDEX, head=head('@acknowledge("M010", "the table has 200 rows")'))
    assert [finding.level for finding in found(live, everything=True)] == ["info"]


@pytest.mark.parametrize("until", ['"2026-11-24"', "date(2026, 11, 24)"])
def test_counts_until_its_last_day(app: Shop, live: str, until: str) -> None:
    key = app.write("0002_case", INDEX, head=head(f'@acknowledge("M010", "small", until={until})'))
    migration = plan.load(None).graph.nodes[key]
    (warning,) = found_before_settling(live)
    (kept,) = settle([warning], {key: migration}, today=TODAY)
    assert kept.message.endswith("Acknowledged, until 2026-11-24: small")
    ended, expired = settle([warning], {key: migration}, today=date(2026, 11, 25))
    assert ended == warning
    assert (expired.id, expired.level) == ("deploy.M081", "warning")
    assert "2026-11-24 (small)" in expired.message


def found_before_settling(alias: str) -> list[Finding]:
    from .project import judged

    return [finding for finding in judged(alias).findings if finding.level != "info"]


@pytest.mark.parametrize(
    ("decorator", "says"),
    [
        ('@acknowledge("M010")', "without a reason"),
        ('@acknowledge("M010", "  ")', "without a reason"),
        ('@acknowledge("M010", None)', "without a reason"),
        ('@acknowledge("M999", "small")', "'deploy.M999' is no id"),
        ('@acknowledge(10, "small")', "10 is no id"),
        ("@acknowledge", "Migration is no id"),
        ('@acknowledge("M010", "small", until="soon")', "until='soon' is not a day"),
        ('@acknowledge("M010", "small", untill="2027-01-31")', "untill='2027-01-31'"),
        ('@acknowledge("M080", "small")', "not a finding about what a migration does"),
        ('@acknowledge("M020", "small")', "cannot work with it"),
    ],
)
def test_a_mistake_is_an_error_and_the_migration_stays_importable(
    app: Shop, live: str, decorator: str, says: str
) -> None:
    app.write("0002_case", INDEX, head=head(decorator))
    (mistake,) = [finding for finding in found(live) if finding.id == "deploy.M080"]
    assert mistake.level == "error"
    assert says in mistake.message.replace("'M999'", "'deploy.M999'")
    assert [finding.level for finding in found(live) if finding.id == "deploy.M010"] == ["warning"]


def test_what_is_not_found_any_more_is_reported(app: Shop, live: str) -> None:
    nullable = 'migrations.AddField("order", "memo", models.TextField(null=True))'
    app.write("0002_case", nullable, head=head('@acknowledge("M010", "the table has 200 rows")'))
    (finding,) = found(live)
    assert (finding.id, finding.level) == ("deploy.M082", "warning")


def test_on_an_empty_database_an_acknowledgement_still_applies(app: Shop, database: str) -> None:
    """There the table is new, and nobody waits for its index; elsewhere it is in use."""
    app.write("0002_case", INDEX, head=head('@acknowledge("M010", "the table has 200 rows")'))
    assert found(database) == []


def test_the_static_check_says_nothing_of_what_only_a_rehearsal_finds(app: Shop, live: str) -> None:
    nullable = 'migrations.AddField("order", "memo", models.TextField(null=True))'
    key = app.write("0002_case", nullable, head=head('@acknowledge("M043", "at night")'))
    assert found(live) == []
    migration = plan.load(None).graph.nodes[key]
    (unseen,) = settle([], {key: migration}, today=TODAY, observed=True)
    assert (unseen.id, unseen.level) == ("deploy.M082", "info")
    held = LOCK_TOO_LONG(
        lock="SHARE",
        table="t",
        size="1 GB",
        seconds=9.0,
        limit=2.0,
        estimate="about 9 s",
        place="shop.0002_case",
    )
    (kept,) = settle([held], {key: migration}, today=TODAY, observed=True)
    assert (kept.id, kept.level) == ("deploy.M043", "info")


def test_what_the_copy_shows_of_a_model_is_answered_by_a_migration_of_its_app(app: Shop, live: str) -> None:
    from deploy.gate.run_findings import OLD_CODE_BROKEN

    key = app.write("0002_case", INDEX, head=head('@acknowledge("M041", "nobody uses it")'))
    migrations = {key: plan.load(None).graph.nodes[key]}
    ours, theirs = (
        OLD_CODE_BROKEN(statement="INSERT", model=model, problem="…", place=model)
        for model in ("shop.Order", "other.Order")
    )
    settled = settle([ours, theirs], migrations, today=TODAY, observed=True)
    assert [finding.level for finding in settled] == ["info", "error"]


def test_acknowledgements_keep_the_order_of_the_file(app: Shop) -> None:
    key = app.write("0002_case", INDEX, head=head('@acknowledge("M010", "a")', '@acknowledge("M022", "b")'))
    migration = plan.load(None).graph.nodes[key]
    assert [one.reason for one in acknowledgements_of(migration)] == ["a", "b"]


def test_a_migration_with_acknowledgements_runs(app: Shop, database: str) -> None:
    key = app.write("0002_case", INDEX, head=head('@acknowledge("M010", "small")'))
    assert key in run_all(database)


def test_a_migration_file_loads_neither_the_gate_nor_django(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom deploy.gate import acknowledge, phase\n"
        "print(sorted(name for name in sys.modules if name.startswith(('django', 'deploy', 'pglast'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['deploy', 'deploy.gate', 'deploy.gate.declarations']"


def test_a_name_means_the_function_whatever_was_imported_before() -> None:
    code = (
        "import deploy.gate.static.check\nfrom deploy.gate.applying.apply import apply as the_function\n"
        "from deploy import gate\nfrom deploy.gate import apply, check, wait\n"
        "print(apply is the_function, callable(check), callable(gate.wait))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True True"
