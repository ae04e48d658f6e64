"""Expand or contract is inferred; what a migration declares is held against it, refused if it is wrong."""

import pytest

from deploy.gate.static.check import check
from deploy.reporting.findings import Finding

from .project import Shop, conf, judged, run_all

DROP = 'migrations.RemoveField("order", "paid")'
ADD = 'migrations.AddField("order", "memo", models.TextField(null=True))'
INDEX = 'migrations.AddIndex("order", models.Index(fields=["total"], name="total_idx"))'
NOTHING = "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)"


def head(phase: str) -> str:
    return f"from deploy.gate import acknowledge, phase\n@phase({phase!r})"


def one(findings: tuple[Finding, ...], identity: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.id == identity]
    return finding


def test_an_undeclared_contract_migration_is_a_warning_with_the_line_to_paste(app: Shop, live: str) -> None:
    app.write("0002_drop", DROP)
    finding = one(judged(live).findings, "deploy.M002")
    assert finding.level == "warning"
    assert "shop.Order.paid: SELECT, INSERT, UPDATE fail" in finding.message
    assert '@phase("contract")\nclass Migration' in finding.hint


def test_a_declared_contract_migration_is_information(app: Shop, live: str) -> None:
    key = app.write("0002_drop", DROP, head=head("contract"))
    report = judged(live)
    assert report.contract == (key,)
    finding = one(report.findings, "deploy.M002")
    assert finding.level == "info"
    assert "shop.Order.paid" in finding.message
    assert "@phase" not in finding.hint


@pytest.mark.parametrize("operations", [INDEX, NOTHING])
def test_what_nobody_needs_before_the_switch_may_wait(app: Shop, live: str, operations: str) -> None:
    key = app.write("0002_later", operations, head=head("contract"))
    report = judged(live)
    assert (report.ok, report.contract, report.expand) == (True, (key,), ())
    assert one(report.findings, "deploy.M002").level == "info"


def test_refuses_contract_for_what_the_new_code_needs(app: Shop, live: str) -> None:
    app.write("0002_memo", ADD, head=head("contract"))
    finding = one(judged(live).findings, "deploy.M085")
    assert finding.level == "error"
    assert "shop.Order.memo: SELECT, INSERT, UPDATE fail" in finding.message


def test_refuses_a_needed_migration_behind_one_that_is_declared_contract(app: Shop, live: str) -> None:
    app.write("0002_index", INDEX, head=head("contract"))
    app.write("0003_memo", ADD)
    finding = one(judged(live).findings, "deploy.M003")
    assert (finding.level, finding.place) == ("error", "shop.0003_memo")
    assert "depends on shop.0002_index" in finding.message


def test_refuses_expand_for_what_the_deployed_code_does_not_survive(app: Shop, live: str) -> None:
    app.write("0002_drop", DROP, head=head("expand"))
    finding = one(judged(live).findings, "deploy.M084")
    assert finding.level == "error"
    assert "shop.Order.paid: SELECT, INSERT, UPDATE fail" in finding.message


def test_expand_stands_where_somebody_answers_for_it(app: Shop, live: str) -> None:
    """The judge may be wrong; the rehearsal looks at it all the same."""
    written = head("expand") + '\n@acknowledge("M084", "the old code is down for maintenance")'
    key = app.write("0002_drop", DROP, head=written)
    report = check(conf(database=live), alias=live, deployed=None)
    assert report.expand == (key,)
    assert one(report.findings, "deploy.M084").level == "info"


def test_refuses_expand_behind_a_contract_migration(app: Shop, live: str) -> None:
    app.write("0002_drop", DROP, head=head("contract"))
    app.write("0003_index", INDEX, head=head("expand"))
    finding = one(judged(live).findings, "deploy.M084")
    assert (finding.level, finding.place) == ("error", "shop.0003_index")
    assert "depends on shop.0002_drop" in finding.message


def test_expand_where_it_is_true_says_nothing(app: Shop, live: str) -> None:
    key = app.write("0002_memo", ADD, head=head("expand"))
    report = judged(live)
    assert (report.expand, report.findings) == ((key,), ())


@pytest.mark.parametrize(
    "decorators",
    [
        '@phase("later")',
        "@phase",
        "@phase(2)",
        '@phase("contract", 3)',
        '@phase("expand")\n@phase("contract")',
    ],
)
def test_a_phase_that_cannot_be_told_is_an_error(app: Shop, live: str, decorators: str) -> None:
    app.write("0002_memo", ADD, head=f"from deploy.gate import phase\n{decorators}")
    finding = one(judged(live).findings, "deploy.M083")
    assert (finding.level, finding.place) == ("error", "shop.0002_memo")
    assert decorators.splitlines()[0].split("(")[0] in finding.message


def test_on_an_empty_database_nothing_waits(app: Shop, database: str) -> None:
    """No code is deployed: the contract migrations of old releases are history like all others."""
    app.write("0002_index", INDEX, head=head("contract"))
    app.write("0003_memo", ADD)
    report = judged(database)
    assert (report.contract, report.ok) == ((), True)
    run_all(database)


def test_a_wait_does_not_wait_for_what_is_declared_contract(app: Shop, database: str) -> None:
    from deploy.gate import wait
    from deploy.reporting.report import Step

    run_all(database)
    app.write("0002_index", INDEX, head=head("contract"))
    step = Step("wait")
    wait(conf(), alias=database, timeout_seconds=0, step=step)
    assert step.facts["postponed"] == ["shop.0002_index"]
