"""The interruption drill: cut off at every statement on copies of the copy, run again, and it converges."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from deploy.gate import rehearse
from deploy.gate.rehearsing.rehearsal import Rehearsal
from deploy.reporting.report import Step

from .project import INITIAL, Shop, conf, postgres, query, run_all, shop, sqlite
from .test_interrupted import BATCHES, HEAD, INDEX, LINK, MEMO, ONCE, RENAME, TAG
from .test_rehearsal import forced

LOSES = """migrations.RunPython(lambda apps, editor: editor.execute(
    "ALTER TABLE shop_order ADD COLUMN odd_%d integer" % uuid.uuid4().fields[0])),"""


@pytest.fixture
def copy(app: Shop) -> Iterator[str]:
    """A copy by its name, as the drill finds one."""
    with postgres(named="deploy_scratch") as alias:
        run_all(alias)
        query(alias, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        query(alias, "INSERT INTO shop_order (note, total, customer_id) VALUES ('n', 1, 1)")
        yield alias


def drilled(alias: str, **changes: object) -> Rehearsal:
    when = changes.pop("when", "always")
    return rehearse(
        conf(database=alias, **changes),
        alias=alias,
        gate=forced(alias),
        deployed=None,
        step=Step("rehearse"),
        drill=when,
    )


def ids(result: Rehearsal) -> set[str]:
    return {finding.id for finding in result.findings} & {"deploy.M120", "deploy.M121", "deploy.M040"}


def copies(alias: str) -> list[tuple[object, ...]]:
    return query(
        alias,
        "SELECT datname FROM pg_database WHERE starts_with(datname, current_database() || '_drill')",
    )


def test_a_migration_in_one_transaction_is_all_or_nothing_at_every_statement(app: Shop, copy: str) -> None:
    app.write("0002_whole", MEMO + LINK + TAG + RENAME)
    result = drilled(copy)
    assert ids(result) == set()
    assert isinstance(result.drill, dict)
    assert result.drill["kills"] >= 6
    assert result.drill["copies"] == 0
    assert copies(copy) == []


def test_one_in_pieces_goes_on_and_an_invalid_index_is_built_again(app: Shop, copy: str) -> None:
    app.write("0002_whole", MEMO + LINK + INDEX, atomic=False)
    app.write("0003_more", 'migrations.AddField("order", "more", models.TextField(null=True)),')
    result = drilled(copy)
    assert ids(result) == set(), result.findings
    assert isinstance(result.drill, dict)
    assert result.drill["kills"] > result.drill["copies"] > 8
    assert result.drill["asked_a_person"] == 0


def test_the_index_is_really_cut_in_the_middle(app: Shop, copy: str) -> None:
    from deploy.gate.rehearsing.interruption import Cutter, _cut

    key = app.write("0002_index", INDEX, atomic=False)
    assert _cut(copy, key, Cutter(connections[copy], 0, inside=True))
    assert query(copy, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(1,)]
    run_all(copy)
    assert query(copy, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_data_in_pieces_is_a_question_for_a_person(app: Shop, copy: str) -> None:
    app.write("0002_whole", MEMO + BATCHES, atomic=False, head=HEAD)
    result = drilled(copy)
    assert ids(result) == {"deploy.M121"}
    assert isinstance(result.drill, dict)
    assert result.drill["asked_a_person"] > 0


def test_what_does_not_converge_is_an_error(app: Shop, copy: str) -> None:
    app.write("0002_odd", MEMO + LOSES, atomic=False)
    assert "deploy.M120" in ids(drilled(copy))


def test_a_large_copy_is_left_alone_and_that_is_said(app: Shop, copy: str) -> None:
    app.write("0002_memo", MEMO)
    result = drilled(copy, when="small", drill_limit_bytes=1000)
    assert "over DEPLOY['DRILL_LIMIT_BYTES']" in str(result.drill)
    app.write("0003_more", 'migrations.AddField("order", "more", models.TextField(null=True)),')
    assert isinstance(drilled(copy, when="small").drill, dict)


def test_drills_on_copies_of_a_file(tmp_path: Path) -> None:
    with shop(tmp_path) as app, sqlite(tmp_path / "deploy_scratch.sqlite3") as alias:
        app.write("0001_initial", INITIAL)
        run_all(alias)
        app.write("0002_whole", MEMO + ONCE + LINK + RENAME, atomic=False, head=HEAD)
        app.write("0003_more", 'migrations.AddField("order", "more", models.TextField(null=True)),')
        result = drilled(alias)
        assert ids(result) == set(), result.findings
        assert isinstance(result.drill, dict)
        assert result.drill["kills"] > 10
        assert [path.name for path in tmp_path.glob("*drill*")] == []
