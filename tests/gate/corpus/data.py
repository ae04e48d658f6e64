"""RunPython and statements that change rows."""

from .case import Body, Case, safe, sql, unsafe

NOOP = "migrations.RunPython.noop"
LOOP = """
def forwards(apps, editor):
    for customer in apps.get_model("store", "Customer").objects.using(editor.connection.alias):
        customer.points += 1
        customer.save()
"""
UPDATE = """
def forwards(apps, editor):
    apps.get_model("store", "Customer").objects.using(editor.connection.alias).update(points=models.F("points") + 1)
"""
BATCHES = """
from django.db import transaction

def forwards(apps, editor):
    customers = apps.get_model("store", "Customer").objects.using(editor.connection.alias)
    last = 0
    while keys := list(customers.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:100]):
        with transaction.atomic(using=editor.connection.alias):
            customers.filter(pk__in=keys).update(points=models.F("points") + 1)
        last = keys[-1]
"""
FEW = """
def forwards(apps, editor):
    clubs = apps.get_model("store", "Club").objects.using(editor.connection.alias)
    clubs.get_or_create(name="Staff")

def backwards(apps, editor):
    apps.get_model("store", "Club").objects.using(editor.connection.alias).filter(name="Staff").delete()
"""
DELETE = """
def forwards(apps, editor):
    apps.get_model("store", "Booking").objects.using(editor.connection.alias).all().delete()
"""
CREATE_MANY = """
def forwards(apps, editor):
    Club = apps.get_model("store", "Club")
    Club.objects.using(editor.connection.alias).bulk_create([Club(name=f"c{n}") for n in range(10)])
"""
NOT_THERE = """
def forwards(apps, editor):
    apps.get_model("store", "Nothing").objects.all()
"""
WRONG = """
def forwards(apps):
    pass
"""
RAW = """
def forwards(apps, editor):
    editor.execute("ALTER TABLE store_customer DROP COLUMN phone")
"""
INDEX = """
def forwards(apps, editor):
    with editor.connection.cursor() as cursor:
        cursor.execute("CREATE INDEX order_total_idx ON store_order (total)")
"""
NOTHING = """
def forwards(apps, editor):
    return None
"""
VALID = """
def forwards(apps, editor):
    customers = apps.get_model("store", "Customer").objects.using(editor.connection.alias)
    assert customers.count() >= 0
"""
MORE = "migrations.AddField('customer', 'level', models.IntegerField(null=True)),"


def run(head: str, reverse: str = NOOP, before: str = "", *, atomic: bool = True) -> Body:
    back = f", {reverse}" if reverse else ""
    return Body(f"{before}migrations.RunPython(forwards{back})", atomic=atomic, head=head)


CASES: tuple[Case, ...] = (
    safe("a few rows with a way back", "one row", run(FEW, "backwards")),
    safe("batches outside a transaction", "a hundred rows at a time", run(BATCHES, atomic=False)),
    safe("a dozen new rows", "rows that nobody waits for", run(CREATE_MANY)),
    safe("a function that does nothing", "nothing", run(NOTHING)),
    safe("a function that only looks", "a read", run(VALID)),
    safe("update by key", "one row", sql("UPDATE store_club SET name = 'Staff' WHERE id = 7", "UPDATE store_club SET name = 'club 7' WHERE id = 7")),
    safe("insert one row", "one row", sql("INSERT INTO store_club (name) VALUES ('Staff')", "DELETE FROM store_club WHERE name = 'Staff'")),
    safe("update of a new table", "its rows are its own", sql("CREATE TABLE store_scratch (n int); INSERT INTO store_scratch VALUES (1); UPDATE store_scratch SET n = 2", "DROP TABLE store_scratch")),
    safe("a list with parameters", "one row", "migrations.RunSQL([('UPDATE store_club SET name = %s WHERE id = %s', ['100%', 7])], '')"),
    safe("a parameter that reads like SQL", "text is no statement",
         "migrations.RunSQL([('UPDATE store_club SET name = %s WHERE id = 7', ['DROP TABLE store_club'])], '')"),
    safe("delete by key", "one row that came with the release before",
         sql("INSERT INTO store_club (id, name) VALUES (9001, 'x'); DELETE FROM store_club WHERE id = 9001")),
    safe("set a session's own timeout", "no lock", sql("SET LOCAL lock_timeout = '2s'")),
    safe("lock a row", "one row, brief", sql("SELECT id FROM store_club WHERE id = 1 FOR UPDATE")),
    unsafe("loop over every row", "data", "every row is locked to the end", run(LOOP)),
    unsafe("one update of everything by the ORM", "data", "as above", run(UPDATE)),
    unsafe("batches inside a transaction", "data", "the batches don't help: one transaction", run(BATCHES)),
    unsafe("one update outside a transaction", "data", "one statement is one transaction", run(UPDATE, atomic=False)),
    unsafe("delete everything by the ORM", "data", "every row goes", run(DELETE)),
    unsafe("update without where", "data", "every row is locked to the end", sql("UPDATE store_customer SET points = points + 1", "")),
    unsafe("update in lower case", "data", "as above", sql("update only store_customer set points = 1 where true", "")),
    unsafe("update with a condition that all meet", "data", "as above", sql("UPDATE store_customer SET points = 3 WHERE id > 0", "")),
    unsafe("update behind a WITH", "data", "as above", sql("WITH x AS (SELECT 1 AS n) UPDATE store_customer SET points = x.n FROM x", "")),
    unsafe("update inside a WITH", "data", "as above", sql("WITH x AS (UPDATE store_customer SET points = 2 RETURNING 1) SELECT count(*) FROM x", "")),
    unsafe("update behind a comment", "data", "as above", sql("/* small */ -- really\nUPDATE store_customer SET points = 2", "")),
    unsafe("second of two statements", "data", "as above", sql("SELECT 'a;b'; UPDATE store_customer SET points = 2", "")),
    unsafe("an update with parameters", "data", "as above", "migrations.RunSQL([('UPDATE store_customer SET points = %s', [4])], '')"),
    unsafe("delete without where", "data", "every row goes", sql("DELETE FROM store_booking", "")),
    unsafe("merge", "data", "as an UPDATE of everything", sql(
        "MERGE INTO store_customer c USING store_customer o ON c.id = o.id WHEN MATCHED THEN UPDATE SET points = 1", "")),
    unsafe("update inside a DO block", "data", "the block is opaque, its UPDATE isn't", sql("DO $$ BEGIN UPDATE store_customer SET points = 2; END $$", "")),
    unsafe("drop inside a DO block", "breaks_old", "the block is opaque, its ALTER isn't", sql("DO $$ BEGIN EXECUTE 'ALTER TABLE store_customer DROP COLUMN phone'; END $$", "")),
    unsafe("lock table, then look", "lock", "ACCESS EXCLUSIVE is held while it counts", sql("LOCK TABLE store_order; SELECT count(*) FROM store_order")),
    unsafe("lock table in a mode", "lock", "writers wait while it counts", sql("lock store_order in share row exclusive mode; select sum(total) from store_order")),
    unsafe("backfill after the ALTER", "data", "the ALTER's ACCESS EXCLUSIVE is held for the whole UPDATE",
           MORE + sql("UPDATE store_customer SET level = 1", "")),
    unsafe("backfill by the ORM after the ALTER", "data", "as above", run(UPDATE, before=MORE)),
    unsafe("backfill of a column added a migration before", "data", "one transaction locks every row", MORE, sql("UPDATE store_customer SET level = 1", "")),
    unsafe("insert from a large table under a lock", "lock", "ACCESS EXCLUSIVE on one table while another is read", sql(
        "ALTER TABLE store_club ADD COLUMN size integer; CREATE TABLE store_copy AS SELECT * FROM store_order", "DROP TABLE store_copy; ALTER TABLE store_club DROP size")),
    unsafe("a model that is not there", "fails", "LookupError", run(NOT_THERE)),
    unsafe("a function of one argument", "fails", "TypeError", run(WRONG)),
    unsafe("DDL inside RunPython", "breaks_old", "the old code selects the column", run(RAW)),
    unsafe("index inside RunPython", "lock", "SHARE for the build", run(INDEX)),
    unsafe("RunPython without a reverse", "irreversible", "nothing leads back", run(FEW, "")),
    unsafe("RunSQL without a reverse", "irreversible", "nothing leads back", sql("INSERT INTO store_club (name) VALUES ('x')", None)),
    unsafe("a syntax error", "fails", "PostgreSQL can't read it", sql("ALTER TABEL store_order ADD x int", "")),
    unsafe("a table that is not there", "fails", "undefined table", sql("ALTER TABLE store_orders ADD x int", "")),
    unsafe("a percent sign beside parameters", "fails", "a lone % is a placeholder", "migrations.RunSQL([(\"UPDATE store_club SET name = '5% off' WHERE id = %s\", [7])], '')"),
    unsafe("BEGIN and COMMIT of its own", "fails", "COMMIT ends Django's transaction", sql("BEGIN; UPDATE store_club SET name = 'x' WHERE id = 1; COMMIT", ""),
           unobserved="COMMIT inside Django's atomic block only warns; what follows is in no transaction"),
    unsafe("the same column twice", "fails", "multiple assignments", sql("UPDATE store_club SET name = 'a', name = 'b' WHERE id = 1", "")),
)  # fmt: skip
