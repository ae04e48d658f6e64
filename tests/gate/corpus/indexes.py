"""Indexes: built, dropped, renamed, rebuilt."""

from .case import Case, concurrent, disputed, safe, sql, unsafe

TOTAL = 'models.Index(fields=["total"], name="order_total_idx")'
ADD = f'migrations.AddIndex("order", {TOTAL})'
UNDO = "DROP INDEX IF EXISTS order_total_idx"

CASES: tuple[Case, ...] = (
    safe("index concurrently", "writers go on", concurrent(f'AddIndexConcurrently("order", {TOTAL})')),
    safe("index concurrently by SQL", "writers go on", concurrent(sql(
        "CREATE INDEX CONCURRENTLY order_total_idx ON store_order (total)", "DROP INDEX CONCURRENTLY order_total_idx"))),
    safe("index concurrently if it is missing", "writers go on", concurrent(sql(
        'create index concurrently if not exists order_total_idx on "public"."store_order" using btree (total desc)',
        "drop index concurrently if exists order_total_idx"))),
    safe("index concurrently, state beside it", "writers go on", concurrent(
        "migrations.SeparateDatabaseAndState(database_operations=["
        + sql("CREATE INDEX CONCURRENTLY order_total_idx ON store_order (total)", "DROP INDEX CONCURRENTLY order_total_idx")
        + f"], state_operations=[{ADD}])")),
    safe("drop index concurrently", "readers and writers go on", concurrent('RemoveIndexConcurrently("order", "order_status_idx")')),
    safe("rename index", "SHARE UPDATE EXCLUSIVE on the index, brief",
         'migrations.RenameIndex("order", new_name="order_state_idx", old_name="order_status_idx")'),
    safe("reindex concurrently", "readers and writers go on", concurrent(sql("REINDEX INDEX CONCURRENTLY order_status_idx"))),
    safe("reindex table concurrently", "as above", concurrent(sql("REINDEX (VERBOSE, CONCURRENTLY) TABLE store_order"))),
    safe("index of a new table", "nobody uses it yet",
         'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.CharField(max_length=20, db_index=True)),'
         ' ("product", models.ForeignKey("store.Product", models.CASCADE))]),'
         'migrations.AddIndex("note", models.Index(fields=["text"], name="note_idx"))'),
    safe("index of a table made a migration before", "it is as new in this release",
         'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.CharField(max_length=20))])',
         'migrations.AddIndex("note", models.Index(fields=["text"], name="note_idx"))'),
    safe("index of a new table by SQL", "nobody uses it yet", sql(
        "CREATE TABLE store_scratch (id bigint PRIMARY KEY, n int); CREATE INDEX scratch_n ON store_scratch (n)", "DROP TABLE store_scratch")),
    safe("CREATE INDEX in a string", "text is no statement", sql("COMMENT ON TABLE store_order IS 'CREATE INDEX x ON store_order (total);'", "COMMENT ON TABLE store_order IS NULL")),
    safe("CREATE INDEX in a comment", "a comment is no statement", sql("-- CREATE INDEX x ON store_order (total);\nSELECT 1 /* DROP TABLE store_order; */")),
    safe("statistics target", "SHARE UPDATE EXCLUSIVE, brief", sql("ALTER TABLE store_order ALTER COLUMN total SET STATISTICS 500", "ALTER TABLE store_order ALTER total SET STATISTICS -1")),
    safe("extended statistics", "SHARE UPDATE EXCLUSIVE, brief", sql("CREATE STATISTICS order_stats ON status, currency FROM store_order", "DROP STATISTICS order_stats")),
    safe("analyze", "SHARE UPDATE EXCLUSIVE", sql("ANALYZE store_order")),
    safe("vacuum", "SHARE UPDATE EXCLUSIVE", concurrent(sql("VACUUM (ANALYZE) store_order"))),
    safe("storage parameter", "SHARE UPDATE EXCLUSIVE, brief", sql("ALTER TABLE store_order SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01)",
                                                              "ALTER TABLE store_order RESET (fillfactor, autovacuum_vacuum_scale_factor)")),
    unsafe("add index", "lock", "SHARE blocks every write for the build", ADD),
    unsafe("add index outside a transaction", "lock", "atomic = False is not CONCURRENTLY", concurrent(ADD)),
    unsafe("db_index=True", "lock", "as above", 'migrations.AlterField("order", "total", models.IntegerField(db_index=True))'),
    unsafe("db_index=True on text", "lock", "two indexes", 'migrations.AlterField("order", "currency", models.CharField(max_length=3, default="EUR", db_index=True))'),
    unsafe("index of an expression", "lock", "as above", 'migrations.AddIndex("order", models.Index(functions.Upper("note"), name="order_note_idx"))'),
    unsafe("index with a condition", "lock", "the whole table is read all the same",
           'migrations.AddIndex("order", models.Index(fields=["total"], condition=models.Q(status="gone"), name="order_part_idx"))'),
    unsafe("gin index", "lock", "as above", 'migrations.AddIndex("product", indexes.GinIndex(fields=["attributes"], name="product_attr_idx"))'),
    unsafe("brin index", "lock", "small, but the whole table is read", 'migrations.AddIndex("event", indexes.BrinIndex(fields=["at"], name="event_at_idx"))'),
    unsafe("hash index", "lock", "as above", 'migrations.AddIndex("event", indexes.HashIndex(fields=["kind"], name="event_kind_idx"))'),
    unsafe("covering index", "lock", "as above", 'migrations.AddIndex("order", models.Index(fields=["total"], include=["note"], name="order_cover_idx"))'),
    unsafe("index in lower case", "lock", "as above", sql("create index order_total_idx on store_order (total)", UNDO)),
    unsafe("index without a name", "lock", "as above", sql("CREATE INDEX ON store_order (total)", "DROP INDEX store_order_total_idx")),
    unsafe("index if it is missing", "lock", "as above", sql("CREATE INDEX IF NOT EXISTS order_total_idx ON store_order (total)", UNDO)),
    unsafe("index with CONCURRENTLY in a comment", "lock", "a comment is no option", sql("CREATE INDEX /* CONCURRENTLY */ order_total_idx ON store_order (total)", UNDO)),
    unsafe("index of a quoted, qualified name", "lock", "as above", sql('CREATE UNIQUE INDEX "order_total_idx" ON "public"."store_order" USING btree ("number", "total")', UNDO)),
    unsafe("index beside a new table", "lock", "the table in the same statement's text is new, store_order isn't", sql(
        "CREATE TABLE store_scratch (id bigint); CREATE INDEX order_total_idx ON store_order (total)", "DROP TABLE store_scratch; DROP INDEX order_total_idx")),
    unsafe("index on only the parent", "lock", "partitions get theirs under SHARE", sql("CREATE INDEX metric_value_idx ON store_metric (value)", "DROP INDEX metric_value_idx")),
    unsafe("index of a column just added", "lock", "the ALTER's ACCESS EXCLUSIVE is held for the build",
           'migrations.AddField("customer", "level", models.IntegerField(null=True)),'
           'migrations.AddIndex("customer", models.Index(fields=["level"], name="customer_level_idx"))'),
    unsafe("index of a column added a migration before", "lock", "the column is new, the table isn't",
           'migrations.AddField("customer", "level", models.IntegerField(null=True))',
           'migrations.AddIndex("customer", models.Index(fields=["level"], name="customer_level_idx"))'),
    unsafe("index concurrently in a transaction", "fails", "not inside a transaction block", f'AddIndexConcurrently("order", {TOTAL})'),
    unsafe("index concurrently by SQL in a transaction", "fails", "as above", sql("CREATE INDEX CONCURRENTLY order_total_idx ON store_order (total)", UNDO)),
    unsafe("index concurrently among other statements", "fails", "several statements in one string are one transaction",
           concurrent(sql("SET lock_timeout = '2s'; CREATE INDEX CONCURRENTLY order_total_idx ON store_order (total)", UNDO))),
    unsafe("drop index concurrently in a transaction", "fails", "as above", 'RemoveIndexConcurrently("order", "order_status_idx")'),
    unsafe("unique index concurrently over duplicates", "fails", "and leaves an INVALID index", concurrent(sql(
        "CREATE UNIQUE INDEX CONCURRENTLY order_once ON store_order (status)", "DROP INDEX IF EXISTS order_once"))),
    unsafe("concurrent build of an index name in use", "fails", "the name is taken", concurrent(sql(
        "CREATE INDEX CONCURRENTLY order_status_idx ON store_order (total)", "SELECT 1"))),
    unsafe("reindex", "lock", "SHARE on the table", sql("REINDEX TABLE store_order")),
    unsafe("reindex an index", "lock", "its table can't be written", sql("reindex index order_status_idx")),
    unsafe("concurrent index of a partitioned table", "fails", "not for partitioned tables", concurrent(sql(
        "CREATE INDEX CONCURRENTLY metric_value_idx ON store_metric (value)", "DROP INDEX metric_value_idx"))),
    disputed("drop index", "ACCESS EXCLUSIVE, brief; what used it is slow now", "the lock does not grow with the table",
             'migrations.RemoveIndex("order", "order_status_idx")'),
    disputed("drop db_index", "as above", "as above", 'migrations.AlterField("payment", "order", models.ForeignKey("store.Order", models.CASCADE, db_index=False))'),
    safe("index only on the parent of partitions", "ON ONLY builds nothing", sql("CREATE INDEX metric_value_idx ON ONLY store_metric (value)", "DROP INDEX metric_value_idx")),
    safe("index of a materialized view just made", "nobody reads it yet", sql(
        "CREATE MATERIALIZED VIEW store_top AS SELECT 1 AS id; CREATE INDEX top_idx ON store_top (id)", "DROP MATERIALIZED VIEW store_top")),
    safe("index concurrently with a session timeout before", "two operations, two strings", concurrent(
        sql("SET lock_timeout = '2s'", "SET lock_timeout = '2s'") + f', AddIndexConcurrently("order", {TOTAL})')),
    safe("index concurrently without statement_timeout", "a long build is meant to be long", concurrent(
        sql("SET statement_timeout = 0") + f', AddIndexConcurrently("order", {TOTAL})')),
)  # fmt: skip
