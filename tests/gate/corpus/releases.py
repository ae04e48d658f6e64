"""Releases of several migrations, and single ones that do several things."""

from .case import Case, concurrent, safe, sql, unsafe

REGION = "ALTER TABLE store_order ADD CONSTRAINT order_region_set CHECK (region IS NOT NULL) NOT VALID"
UNDO = "ALTER TABLE store_order DROP CONSTRAINT order_region_set"
SET = "ALTER TABLE store_order ALTER region SET NOT NULL"
UNSET = "ALTER TABLE store_order ALTER region DROP NOT NULL"

CASES: tuple[Case, ...] = (
    safe("not null in three migrations", "added NOT VALID, validated, and taken as the proof; the old code always writes it",
         sql(REGION, UNDO), sql("ALTER TABLE store_order VALIDATE CONSTRAINT order_region_set"), sql(SET, UNSET) + "," + sql(UNDO, REGION)),
    unsafe("not null in one transaction", "lock", "the ADD's ACCESS EXCLUSIVE is held while it validates",
           ",".join([sql(REGION, UNDO), sql("ALTER TABLE store_order VALIDATE CONSTRAINT order_region_set"), sql(SET, UNSET)])),
    unsafe("not null without the validation", "lock", "a CHECK that is not valid proves nothing", sql(REGION, UNDO), sql(SET, UNSET)),
    unsafe("check dropped before it is used", "lock", "nothing proves it any more: scan",
           sql(REGION, UNDO), sql("ALTER TABLE store_order VALIDATE CONSTRAINT order_region_set"), sql(UNDO, REGION), sql(SET, UNSET)),
    safe("not null of 18, validated later", "VALIDATE reads under SHARE UPDATE EXCLUSIVE",
         sql("ALTER TABLE store_order ADD CONSTRAINT region_set NOT NULL region NOT VALID", "ALTER TABLE store_order DROP CONSTRAINT region_set"),
         sql("ALTER TABLE store_order VALIDATE CONSTRAINT region_set")),
    safe("column, then its index, concurrently", "each brief or without a lock",
         'migrations.AddField("customer", "level", models.IntegerField(null=True))',
         concurrent('AddIndexConcurrently("customer", models.Index(fields=["level"], name="customer_level_idx"))')),
    safe("key in small steps", "column, concurrent index, NOT VALID, VALIDATE",
         'migrations.AddField("product", "club", models.ForeignKey("store.Club", models.SET_NULL, null=True, db_index=False, db_constraint=False))',
         concurrent(sql("CREATE INDEX CONCURRENTLY product_club ON store_product (club_id)", "DROP INDEX CONCURRENTLY product_club")),
         sql("ALTER TABLE store_product ADD CONSTRAINT product_club_fk FOREIGN KEY (club_id) REFERENCES store_club (id) NOT VALID", "ALTER TABLE store_product DROP CONSTRAINT product_club_fk"),
         sql("ALTER TABLE store_product VALIDATE CONSTRAINT product_club_fk")),
    unsafe("two ALTERs and a build", "lock", "the second table's lock is held for the first one's index",
           'migrations.AddField("club", "level", models.IntegerField(null=True)),'
           'migrations.AddIndex("order", models.Index(fields=["total"], name="order_total_idx"))'),
    unsafe("validate after an ALTER of another table", "lock", "the other table waits for the scan",
           sql("ALTER TABLE store_club ADD COLUMN size integer", "ALTER TABLE store_club DROP size") + ","
           + sql("ALTER TABLE store_order VALIDATE CONSTRAINT order_total_cap")),
    unsafe("add, then rename", "breaks_old", "the third migration renames a live column",
           'migrations.AddField("customer", "level", models.IntegerField(null=True))',
           'migrations.RenameField("customer", "level", "rung")', 'migrations.RenameField("customer", "phone", "mobile")'),
    safe("add, then rename the same", "only the new column is renamed",
         'migrations.AddField("customer", "level", models.IntegerField(null=True))', 'migrations.RenameField("customer", "level", "rung")'),
    safe("add nullable, then give it a default", "at the end the database has a default for the old INSERT",
         'migrations.AddField("customer", "level", models.IntegerField(null=True))',
         'migrations.AlterField("customer", "level", models.IntegerField(null=True, db_default=0))'),
    unsafe("add nullable, then require", "breaks_old", "at the end it is NOT NULL without a default",
           'migrations.AddField("customer", "level", models.IntegerField(null=True))',
           'migrations.AlterField("customer", "level", models.IntegerField(default=0))'),
    unsafe("remove and add under the same name", "breaks_old", "the old values are gone, and the old INSERT leaves NULL",
           'migrations.RemoveField("customer", "nickname"), migrations.AddField("customer", "nickname", models.IntegerField(default=0))'),
    safe("table, key and rows in one", "all of it new",
         'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20, unique=True))]),'
         + sql("INSERT INTO store_tag (name) SELECT 't' || i FROM generate_series(1, 1000) i", "DELETE FROM store_tag")
         + ', migrations.AddField("tag", "parent", models.ForeignKey("self", models.CASCADE, null=True))'),
    unsafe("new table and a key of a live one to it", "lock", "the live table's index is built under its lock",
           'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True))]),'
           'migrations.AddField("product", "tag", models.ForeignKey("store.Tag", models.SET_NULL, null=True))'),
    safe("view replaced by the same", "CREATE OR REPLACE keeps the columns",
         sql("CREATE OR REPLACE VIEW store_sales AS SELECT customer_id AS id, sum(total) AS total FROM store_order WHERE total >= 0 GROUP BY customer_id",
             "CREATE OR REPLACE VIEW store_sales AS SELECT customer_id AS id, sum(total) AS total FROM store_order GROUP BY customer_id")),
    unsafe("view dropped and made without a column", "breaks_old", "an unmanaged model selects it",
           sql("DROP VIEW store_sales; CREATE VIEW store_sales AS SELECT customer_id AS id FROM store_order", "")),
    safe("two-way trigger for a rename", "the expand step: both columns are kept equal",
         sql("ALTER TABLE store_customer ADD COLUMN handle varchar(30);"
             "CREATE FUNCTION store_mirror() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.handle := NEW.nickname; RETURN NEW; END';"
             "CREATE TRIGGER mirror BEFORE INSERT OR UPDATE ON store_customer FOR EACH ROW EXECUTE FUNCTION store_mirror()",
             "DROP TRIGGER mirror ON store_customer; DROP FUNCTION store_mirror(); ALTER TABLE store_customer DROP handle")),
    unsafe("swap of two tables", "breaks_old", "the table under the old name lacks columns",
           sql("CREATE TABLE store_booking2 (id bigint PRIMARY KEY, room integer); ALTER TABLE store_booking RENAME TO store_booking_old;"
               "ALTER TABLE store_booking2 RENAME TO store_booking", "DROP TABLE store_booking; ALTER TABLE store_booking_old RENAME TO store_booking")),
    unsafe("concurrent index, then an ALTER that scans", "lock", "the ALTER in the second migration",
           concurrent('AddIndexConcurrently("order", models.Index(fields=["total"], name="order_total_idx"))'),
           'migrations.AlterField("order", "external", models.BigIntegerField(null=True))'),
    unsafe("unmanaged twice", "breaks_old", "another model's column goes with the first",
           'migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL("ALTER TABLE store_customer DROP COLUMN phone", "")])'),
    safe("state told what the database has", "state only",
         'migrations.SeparateDatabaseAndState(state_operations=[migrations.AlterField("customer", "phone", models.CharField(max_length=20, null=True, blank=True))])'),
)  # fmt: skip
