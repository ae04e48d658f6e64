"""SQL that RunPython executes is judged as if it were RunSQL's, where it stands in the source as text."""

# ruff: noqa: E501, S608 – a table reads best with a case to a line

import textwrap

import pytest

from .project import Shop, judged

RUN = "migrations.RunPython(fill, migrations.RunPython.noop)"
CURSOR = "with editor.connection.cursor() as cursor:\n    "

CASES = {
    # name: (body, ids, contract)
    "a column dropped": ('editor.execute("ALTER TABLE shop_order DROP COLUMN paid")', {"deploy.M002"}, True),
    "an index built": (f'{CURSOR}cursor.execute("CREATE INDEX i ON shop_order (total)")', {"deploy.M010"}, False),
    "concurrently": (f'{CURSOR}cursor.execute("CREATE INDEX CONCURRENTLY i ON shop_order (total)")', {"deploy.M020"}, False),
    "with parameters": (f'{CURSOR}cursor.execute("UPDATE shop_order SET note = %s", ["10%"])', {"deploy.M017"}, False),
    "a variable": ('sql = "TRUNCATE shop_order"\neditor.execute(sql)', {"deploy.M018"}, False),
    "a constant of the module": ("editor.execute(SQL)", {"deploy.M018"}, False),
    "in a helper": ("_run(editor)", {"deploy.M018"}, False),
    "for this engine": (
        'if editor.connection.vendor == "postgresql":\n    editor.execute("TRUNCATE shop_order")', {"deploy.M018"}, False),
    # fine
    "one row": (f'{CURSOR}cursor.execute("UPDATE shop_order SET note = %s WHERE id = %s", ["x", 1])', set(), False),
    "batches": (
        f'{CURSOR}cursor.execute("UPDATE shop_order SET note = NULL WHERE id BETWEEN %s AND %s", [1, 1000])', set(), False),
    "read": (f'{CURSOR}cursor.execute("SELECT count(*) FROM shop_order WHERE note LIKE %s", ["a%"])', set(), False),
    "for another engine": (
        'if editor.connection.vendor == "sqlite":\n    editor.execute("TRUNCATE shop_order")', set(), False),
    "another engine's language": ('editor.execute("PRAGMA foreign_keys = OFF")', set(), False),
    "put together": ('name = "shop_" + "order"\neditor.execute(f"TRUNCATE {name}")', set(), False),
}  # fmt: skip
HEAD = """
SQL = "TRUNCATE shop_order"
def _run(editor):
    editor.execute(SQL)
def fill(apps, editor):
"""


@pytest.mark.parametrize("case", CASES)
def test_judges(case: str, app: Shop, live: str) -> None:
    body, expected, contract = CASES[case]
    key = app.write("0002_data", RUN, head=HEAD + textwrap.indent(body, "    "))
    report = judged(live)
    assert {finding.id for finding in report.findings if finding.level != "info"} == expected
    assert report.contract == ((key,) if contract else ())
