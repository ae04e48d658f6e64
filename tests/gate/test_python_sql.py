"""SQL that RunPython executes is judged as if it were RunSQL's, where it stands in the source as text."""

# ruff: noqa: E501, S608 – a table reads best with a case to a line

import textwrap

import pytest

from .project import Shop, judged

RUN = "migrations.RunPython(fill, migrations.RunPython.noop)"
CURSOR = "with editor.connection.cursor() as cursor:\n    "

CASES = {
    # name: (body, ids, contract)
    "a column dropped": ('editor.execute("ALTER TABLE shop_order DROP COLUMN paid")', {"deploy.M002", "deploy.M073"}, True),
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
    # put together at run time
    "from known parts": ('name = "shop_" + "order"\neditor.execute(f"TRUNCATE {name}")', {"deploy.M018"}, False),
    "a column of known parts": (
        'editor.execute("ALTER TABLE %s DROP COLUMN %s" % ("shop_order", "paid"))', {"deploy.M002", "deploy.M073"}, True),
    "truncate of what is not known": ('for t in apps.tables:\n    editor.execute(f"TRUNCATE {t}")', {"deploy.M018"}, False),
    "delete of what is not known": (
        f'{CURSOR}cursor.execute("DELETE FROM %s" % editor.table)', {"deploy.M017"}, False),
    "update of what is not known": (
        f'{CURSOR}cursor.execute("UPDATE {{}} SET a = 1".format(editor.table))', {"deploy.M017"}, False),
    "drop of what is not known": (
        'editor.execute("DROP TABLE {t}".format(t=editor.quote_name(apps.t)))', {"deploy.M030"}, False),
    "a column that is not known": (
        'editor.execute(f"ALTER TABLE shop_order DROP COLUMN {apps.column}")', {"deploy.M030"}, False),
    "in a part of its grammar": ('editor.execute(f"DELETE {apps.one} {apps.two}")', {"deploy.M030"}, False),
    "all of it": (f"{CURSOR}cursor.execute(apps.sql)", {"deploy.M030"}, False),
    "made longer": ('sql = "SELECT 1;"\nsql += "TRUNCATE shop_order"\neditor.execute(sql)', {"deploy.M018"}, False),
    "composed by psycopg": (
        f'{CURSOR}cursor.execute(sql.SQL("TRUNCATE {{}}").format(sql.Identifier(apps.t)))', {"deploy.M018"}, False),
    "given to a helper": ('_do(editor, "TRUNCATE shop_order")', {"deploy.M018"}, False),
    # put together, and fine
    "a query": (
        f'{CURSOR}cursor.execute(f"SELECT {{apps.columns}} FROM {{apps.t}} WHERE {{apps.condition}} = %s", [1])', set(), False),
    "a query that cannot be read": (
        f'{CURSOR}cursor.execute(f"SELECT a FROM t {{apps.one}} {{apps.two}} {{apps.three}}")', set(), False),
    "one row of what is not known": (
        f'{CURSOR}cursor.execute(f"UPDATE {{apps.t}} SET a = %s WHERE id = %s", [1, 2])', set(), False),
    "rows by keys": (
        'editor.execute(f"DELETE FROM shop_order WHERE id IN ({apps.keys})")\n'
        'editor.execute(f"DELETE FROM shop_order WHERE id = {apps.key}")', set(), False),
    "a table that it makes itself": (
        'editor.execute(f"CREATE TABLE {apps.t} (id int)")\neditor.execute(f"DROP TABLE {apps.t}")', set(), False),
    "another method of that name": ("apps.command.execute(apps.options)", set(), False),
}  # fmt: skip
HEAD = """
SQL = "TRUNCATE shop_order"
def _run(editor):
    editor.execute(SQL)
def _do(editor, text):
    editor.execute(text)
def fill(apps, editor):
"""


@pytest.mark.parametrize("case", CASES)
def test_judges(case: str, app: Shop, live: str) -> None:
    body, expected, contract = CASES[case]
    key = app.write("0002_data", RUN, head=HEAD + textwrap.indent(body, "    "))
    report = judged(live)
    assert {finding.id for finding in report.findings if finding.level != "info"} == expected
    assert report.contract == ((key,) if contract else ())
