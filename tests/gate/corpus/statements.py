"""Statements that few releases make and that a judge by pattern takes for their neighbours."""

from .case import Body, Case, concurrent, disputed, safe, sql, unsafe

GROW = "ALTER TABLE store_order ADD COLUMN extra {}"
SHRINK = "ALTER TABLE store_order DROP COLUMN extra"
CUSTOM = """
from django.db.migrations.operations.base import Operation

class Custom(Operation):
    reversible = True

    def __init__(self, statement, back):
        self.statement, self.back = statement, back

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute(self.statement)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute(self.back)

class Quick(migrations.RunSQL):
    pass

class Wide(models.CharField):
    pass
"""


def grown(default: str) -> str:
    return sql(GROW.format(default), SHRINK)


DEFAULTS: tuple[Case, ...] = (
    safe("default jsonb constant", "a constant", grown("jsonb NOT NULL DEFAULT '{}'::jsonb")),
    safe("default empty array", "a constant", grown("text[] NOT NULL DEFAULT ARRAY[]::text[]")),
    safe("default enum value", "a constant", grown("store_mood NOT NULL DEFAULT 'calm'::store_mood")),
    safe("default now in another zone", "stable", grown("timestamp DEFAULT (now() AT TIME ZONE 'utc')")),
    safe("default current_date", "stable", grown("date NOT NULL DEFAULT CURRENT_DATE")),
    safe("default md5 of a constant", "immutable", grown("text DEFAULT md5('a')")),
    safe("default interval arithmetic", "stable", grown("timestamptz DEFAULT now() + interval '1 day'")),
    safe("default current_setting", "stable", grown("text DEFAULT current_setting('application_name')")),
    safe("default current_user", "stable", grown("text DEFAULT current_user")),
    safe("default that names random in a string", "a constant", grown("text DEFAULT 'random()'")),
    safe("default of a partitioned table", "a constant, in every partition's catalog", sql("ALTER TABLE store_metric ADD COLUMN extra integer NOT NULL DEFAULT 0", "ALTER TABLE store_metric DROP COLUMN extra")),
    safe("domain without constraint, with default", "a domain that checks nothing costs nothing", grown("store_grade DEFAULT 1")),
    unsafe("default uuidv7", "lock", "volatile, since 18", grown("uuid DEFAULT uuidv7()")),
    unsafe("default md5 of random", "lock", "volatile inside", grown("text DEFAULT md5(random()::text)")),
    unsafe("default timeofday", "lock", "volatile", grown("text DEFAULT timeofday()")),
    unsafe("default gen_random_uuid in capitals", "lock", "volatile", grown("uuid NOT NULL DEFAULT GEN_RANDOM_UUID()")),
    unsafe("default of a qualified function", "lock", "volatile", grown("double precision DEFAULT pg_catalog.random()")),
    unsafe("unique with a constant default", "fails", "every row has the same value", grown("integer DEFAULT 0 UNIQUE")),
    unsafe("one volatile among three columns", "lock", "one is enough", sql(
        "ALTER TABLE store_order ADD COLUMN a integer, ADD COLUMN b integer DEFAULT 1, ADD COLUMN c float DEFAULT random()", "ALTER TABLE store_order DROP a, DROP b, DROP c")),
    unsafe("constrained domain with default", "lock", "rows are written to test the domain", sql("CREATE DOMAIN store_small AS integer CHECK (VALUE < 10)", "DROP DOMAIN store_small")
           + "," + grown("store_small DEFAULT 1")),
)  # fmt: skip

ALTERS: tuple[Case, ...] = (
    safe("replica identity", "brief", sql("ALTER TABLE store_order REPLICA IDENTITY FULL", "ALTER TABLE store_order REPLICA IDENTITY DEFAULT")),
    safe("storage of a column", "for rows to come", sql("ALTER TABLE store_event ALTER payload SET STORAGE MAIN", "ALTER TABLE store_event ALTER payload SET STORAGE EXTENDED")),
    safe("compression of a column", "for rows to come", sql("ALTER TABLE store_event ALTER payload SET COMPRESSION pglz", "ALTER TABLE store_event ALTER payload SET COMPRESSION DEFAULT")),
    safe("cluster on, without clustering", "the catalog only", sql("ALTER TABLE store_order CLUSTER ON order_status_idx", "ALTER TABLE store_order SET WITHOUT CLUSTER")),
    safe("rename index by SQL", "brief", sql("ALTER INDEX order_status_idx RENAME TO order_state_idx", "ALTER INDEX order_state_idx RENAME TO order_status_idx")),
    safe("table as a copy of a live one's shape", "new and empty", sql("CREATE TABLE store_copy (LIKE store_order INCLUDING ALL)", "DROP TABLE store_copy")),
    safe("table from a query", "reads a live table, as a report does", sql("CREATE TABLE store_copy AS SELECT * FROM store_order", "DROP TABLE store_copy")),
    safe("materialized view from a query", "as above", sql("CREATE MATERIALIZED VIEW store_top AS SELECT status, count(*) FROM store_order GROUP BY 1", "DROP MATERIALIZED VIEW store_top")),
    safe("sequence set to the highest key", "one value", sql("SELECT setval(pg_get_serial_sequence('store_club', 'id'), (SELECT max(id) FROM store_club))")),
    safe("drop default that the code never uses", "the old code names the column in every INSERT", sql("ALTER TABLE store_customer ALTER points DROP DEFAULT", "")),
    safe("drop not null of what the code has left", "nobody reads it", sql("ALTER TABLE store_customer ALTER legacy_rank DROP NOT NULL", "ALTER TABLE store_customer ALTER legacy_rank SET NOT NULL")),
    safe("several harmless parts in one ALTER", "each of them the catalog only", sql(
        "ALTER TABLE store_order ADD COLUMN a integer, ALTER note TYPE varchar(200), ALTER total SET STATISTICS 200, ADD CONSTRAINT a_max CHECK (a < 5) NOT VALID",
        "ALTER TABLE store_order DROP a, ALTER note TYPE varchar(100), ALTER total SET STATISTICS -1")),
    safe("only a comment", "no statement at all", sql("-- nothing to do\n")),
    safe("dollar quotes around statements", "text is no statement", sql("SELECT $q$ DROP TABLE store_order; CREATE INDEX x ON store_order (id); $q$")),
    safe("a custom operation", "a nullable column", Body(f'Custom("{GROW.format("integer")}", "{SHRINK}")', head=CUSTOM)),
    safe("a subclass of RunSQL", "a nullable column", Body(f'Quick("{GROW.format("integer")}", "{SHRINK}")', head=CUSTOM)),
    safe("a field class of one's own", "the same column", Body('migrations.AlterField("customer", "name", Wide(max_length=50))', head=CUSTOM)),
    safe("elidable statement", "nothing", 'migrations.RunSQL("SELECT 1", migrations.RunSQL.noop, elidable=True)'),
    safe("unlogged new table", "new", sql("CREATE UNLOGGED TABLE store_scratch (n integer)", "DROP TABLE store_scratch")),
    safe("temporary table", "gone at the end", sql("CREATE TEMPORARY TABLE scratch ON COMMIT DROP AS SELECT 1 AS n; UPDATE scratch SET n = 2")),
    safe("trigger function alone", "nothing calls it", sql("CREATE FUNCTION store_t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE store_order SET total = 1; RETURN NEW; END'", "DROP FUNCTION store_t()")),
    safe("adopt the table of a many-to-many", "state only: the table is there", """migrations.SeparateDatabaseAndState(state_operations=[
        migrations.CreateModel("Use", [("id", models.BigAutoField(primary_key=True)), ("coupon", models.ForeignKey("store.Coupon", models.CASCADE)),
            ("product", models.ForeignKey("store.Product", models.CASCADE))], options={"db_table": "store_coupon_products", "unique_together": {("coupon", "product")}}),
        migrations.AlterField("coupon", "products", models.ManyToManyField("store.Product", through="store.Use"))])"""),
    unsafe("rename the table of a many-to-many", "breaks_old", "the old code writes to the old name", """migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL("ALTER TABLE store_coupon_products RENAME TO store_use", "ALTER TABLE store_use RENAME TO store_coupon_products")], state_operations=[
        migrations.CreateModel("Use", [("id", models.BigAutoField(primary_key=True)), ("coupon", models.ForeignKey("store.Coupon", models.CASCADE)),
            ("product", models.ForeignKey("store.Product", models.CASCADE))]),
        migrations.AlterField("coupon", "products", models.ManyToManyField("store.Product", through="store.Use"))])"""),
    unsafe("expression of a generated column", "lock", "since 17: rewrite", sql("ALTER TABLE store_product ALTER gross SET EXPRESSION AS (price * 3)", "ALTER TABLE store_product ALTER gross SET EXPRESSION AS (price * 2)")),
    unsafe("generated column becomes plain", "breaks_old", "the old INSERT leaves it NULL where it is NOT NULL", sql(
        "ALTER TABLE store_product ALTER gross DROP EXPRESSION; ALTER TABLE store_product ADD CONSTRAINT gross_set CHECK (gross IS NOT NULL) NOT VALID", "")),
    unsafe("one scan among harmless parts", "lock", "the CHECK is tested on every row", sql(
        "ALTER TABLE store_order ADD COLUMN a integer, ADD CONSTRAINT total_max CHECK (total < 5000)", "ALTER TABLE store_order DROP a, DROP CONSTRAINT total_max")),
    unsafe("refresh a view that is read", "lock", "a view made a release ago: readers wait", sql(
        "CREATE MATERIALIZED VIEW store_top AS SELECT status FROM store_order; LOCK TABLE store_club; REFRESH MATERIALIZED VIEW store_top", "DROP MATERIALIZED VIEW store_top")),
    unsafe("custom operation that builds an index", "lock", "SHARE for the build", Body(
        'Custom("CREATE INDEX order_total_idx ON store_order (total)", "DROP INDEX order_total_idx")', head=CUSTOM)),
    unsafe("subclass of RunSQL that builds an index", "lock", "as above", Body(
        'Quick("CREATE INDEX order_total_idx ON store_order (total)", "DROP INDEX order_total_idx")', head=CUSTOM)),
    unsafe("a list of statements, the second builds", "lock", "as above",
           'migrations.RunSQL(["SELECT 1", "CREATE INDEX order_total_idx ON store_order (total)"], ["DROP INDEX order_total_idx"])'),
    unsafe("nested state and database", "breaks_old", "the inner operation drops", """migrations.SeparateDatabaseAndState(database_operations=[
        migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL("ALTER TABLE store_customer DROP COLUMN phone", "ALTER TABLE store_customer ADD phone varchar(20)")])])"""),
    unsafe("database without its state", "breaks_new", "the column is gone, the new code still reads it", """migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RemoveField("customer", "phone")])"""),
    unsafe("tricky quotes before a drop", "breaks_old", "the string ends before the DROP", sql(
        "SELECT 'it''s; --'; ALTER TABLE store_customer DROP COLUMN phone; SELECT E'\\\\'", "ALTER TABLE store_customer ADD phone varchar(20)")),
    unsafe("nested comment before a drop", "breaks_old", "comments nest in PostgreSQL", sql(
        "/* a /* b */ c */ ALTER TABLE store_customer DROP COLUMN phone", "ALTER TABLE store_customer ADD phone varchar(20)")),
    unsafe("unicode-quoted name", "breaks_old", "U&\"…\" is the same name", sql(
        'ALTER TABLE U&"store\\005Fcustomer" DROP COLUMN U&"phone"', "ALTER TABLE store_customer ADD phone varchar(20)")),
    unsafe("capital letters", "breaks_old", "unquoted names are folded", sql("ALTER TABLE STORE_CUSTOMER DROP COLUMN PHONE", "ALTER TABLE store_customer ADD phone varchar(20)")),
    unsafe("update with a subquery", "data", "all rows", sql("UPDATE store_customer SET points = (SELECT count(*) FROM store_order o WHERE o.customer_id = store_customer.id)", "")),
    unsafe("insert over conflict", "data", "every row is written", sql(
        "INSERT INTO store_coupon (code, percent) SELECT code, percent FROM store_coupon ON CONFLICT (code) DO UPDATE SET percent = 0", "")),
    unsafe("select for update of everything", "data", "every row is locked to the end", sql("SELECT count(*) FROM (SELECT id FROM store_customer FOR UPDATE) x", ""),
           unobserved="no tuple is changed; the locks are on the rows themselves"),
    unsafe("a function that updates, called", "data", "the call is opaque", sql(
        "CREATE FUNCTION store_fill() RETURNS void LANGUAGE sql AS 'UPDATE store_customer SET points = 1'; SELECT store_fill()", "DROP FUNCTION store_fill()")),
    unsafe("disable row triggers", "data", "keys are not checked any more", sql("ALTER TABLE store_payment DISABLE TRIGGER ALL", "ALTER TABLE store_payment ENABLE TRIGGER ALL"),
           unobserved="nothing fails: that is the danger"),
    unsafe("require with an update first", "lock", "UPDATE of a third of the rows, then a scan", 'migrations.AlterField("customer", "phone", models.CharField(max_length=20, default=""))'),
    unsafe("two indexes concurrently in one string", "fails", "several statements in one string are one transaction", concurrent(sql(
        "CREATE INDEX CONCURRENTLY a_idx ON store_order (total); CREATE INDEX CONCURRENTLY b_idx ON store_order (external)", "SELECT 1"))),
    disputed("add json column", "no equality operator: DISTINCT on it fails", "only new code names it", grown("json")),
    disputed("index of many columns", "rarely useful", "advice, not danger", concurrent(
        'AddIndexConcurrently("order", models.Index(fields=["total", "external", "note", "currency"], name="order_wide_idx"))')),
    disputed("identifier of 70 letters", "cut to 63 with a notice", "nothing breaks until two are cut alike", sql(f"CREATE SEQUENCE {'s' * 70}", f"DROP SEQUENCE {'s' * 70}")),
)  # fmt: skip

CASES = DEFAULTS + ALTERS
