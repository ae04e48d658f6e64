"""Values, fields and rows that the deployed code may well use, on a schema that no longer takes them."""

import pytest

from .project import Shop, query
from .test_rehearsal import forced, rehearsed


def said(app: Shop, alias: str, *statements: str) -> dict[str, str]:
    """What the rehearsal says of the deployed code: message → level, each without its first words."""
    operations = "".join(f"migrations.RunSQL({one!r}, migrations.RunSQL.noop)," for one in statements)
    app.write("0002_case", operations)
    found = [f for f in rehearsed(alias, forced(alias)).findings if f.id in {"deploy.M041", "deploy.M095"}]
    return {finding.message.partition(" no longer ")[2]: finding.level for finding in found}


@pytest.mark.parametrize(
    ("statement", "expected", "level"),
    [
        ("ALTER TABLE shop_order ALTER note TYPE varchar(60)", "INSERT (note: 100 characters)", "error"),
        ("ALTER TABLE shop_order ALTER total TYPE smallint", "INSERT (total: largest)", "error"),
        ("ALTER TABLE shop_order ALTER total TYPE numeric(5, 0)", "INSERT (total: largest)", "error"),
        (
            "UPDATE shop_order SET paid = true; ALTER TABLE shop_order ALTER paid SET NOT NULL",
            "INSERT, UPDATE",
            "error",
        ),
        ("ALTER TABLE shop_order ADD CHECK (total < 60)", "INSERT (total: largest)", "info"),
        ("ALTER TABLE shop_order ADD CHECK (total > 0)", "INSERT (total: zero)", "warning"),
        ("ALTER TABLE shop_order ADD CHECK (note <> '')", "INSERT (note: empty)", "warning"),
        ("ALTER TABLE shop_order ADD CHECK (total <> 49) NOT VALID", "UPDATE (as row 2 has it)", "warning"),
        ("ALTER TABLE shop_order ALTER total TYPE text", "SELECT BY total", "error"),
        ("ALTER TABLE shop_order ALTER note TYPE json USING to_json(note)", "SELECT BY note", "error"),
    ],
)  # fmt: skip
def test_names_what_the_schema_before_took(
    statement: str, expected: str, level: str, app: Shop, deployed: str
) -> None:
    found = said(app, deployed, *statement.split("; "))
    hits = {words: each for words, each in found.items() if expected in words}
    assert list(hits.values()) == [level], found


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE shop_order ALTER note TYPE varchar(200)",
        "ALTER TABLE shop_order ALTER total TYPE bigint",
        "ALTER TABLE shop_order ADD CHECK (total IS NOT NULL) NOT VALID",
        "ALTER TABLE shop_order ADD memo text",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS unheard_of ON shop_order (total)",
    ],
)
def test_says_nothing_where_everything_still_fits(statement: str, app: Shop, deployed: str) -> None:
    app.write("0002_case", f"migrations.RunSQL({statement!r}, migrations.RunSQL.noop)", atomic=False)
    found = rehearsed(deployed, forced(deployed)).findings
    assert not {"deploy.M041", "deploy.M095", "deploy.M040"} & {finding.id for finding in found}


def test_a_new_uniqueness_is_met_even_where_there_is_no_row(app: Shop, deployed: str) -> None:
    query(deployed, "TRUNCATE shop_customer CASCADE")
    found = said(app, deployed, "ALTER TABLE shop_order ADD UNIQUE (total)")
    assert [level for words, level in found.items() if "INSERT TWICE" in words] == ["warning"]


def test_refusals_of_values_leave_the_switch_open_and_lost_statements_do_not(
    app: Shop, deployed: str
) -> None:
    app.write("0002_case", "migrations.RunSQL('ALTER TABLE shop_order ADD CHECK (total < 60)', '')")
    assert rehearsed(deployed, forced(deployed)).verdict == "switch"
    app.write("0003_case", "migrations.RunSQL('ALTER TABLE shop_order ALTER note TYPE varchar(50)', '')")
    assert rehearsed(deployed, forced(deployed)).verdict == "reverse"


def test_what_the_deployed_models_rule_out_themselves_is_no_loss(app: Shop, deployed: str) -> None:
    query(deployed, "ALTER TABLE shop_order DROP CONSTRAINT IF EXISTS few")
    app.write(
        "0002_state",
        "migrations.SeparateDatabaseAndState([], [migrations.AddConstraint('order', models.CheckConstraint("
        "condition=models.Q(total__lt=60), name='few'))])",
    )
    from .project import run_all

    run_all(deployed)
    app.write(
        "0003_case", "migrations.RunSQL('ALTER TABLE shop_order ADD CONSTRAINT few CHECK (total < 60)', '')"
    )
    found = rehearsed(deployed, forced(deployed)).findings
    assert not {"deploy.M041", "deploy.M095"} & {finding.id for finding in found}


def test_rows_that_a_check_not_valid_would_refuse_are_found_wherever_they_lie(
    app: Shop, deployed: str
) -> None:
    found = said(app, deployed, "ALTER TABLE shop_order ADD CONSTRAINT few CHECK (total <> 25) NOT VALID")
    (message,) = (words for words in found if words.startswith("UPDATE (some rows) shop.Order"))
    assert "rows in shop_order break the check few" in message


def test_such_rows_are_found_when_the_check_waits_for_the_switch(app: Shop, deployed: str) -> None:
    app.write(
        "0002_case",
        "migrations.RunSQL('ALTER TABLE shop_order ADD CONSTRAINT few CHECK (total <> 25) NOT VALID', '')",
    )
    found = rehearsed(deployed, forced(deployed, "contract")).findings
    assert [f.level for f in found if "break the check few" in f.message] == ["warning"]
