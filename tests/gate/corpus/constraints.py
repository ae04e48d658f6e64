"""Foreign keys, checks, uniqueness, exclusion: added, validated, dropped."""

from .case import Body, Case, concurrent, disputed, safe, sql, unsafe


def add(model: str, constraint: str, operation: str = "migrations.AddConstraint") -> str:
    return f'{operation}("{model}", {constraint})'


NOT_VALID = "AddConstraintNotValid"
POINTS = 'models.CheckConstraint(condition=models.Q(points__gte=0), name="customer_points")'
SEGMENT = (
    'models.CheckConstraint(condition=models.Q(segment__in=["retail", "trade"]), name="customer_segment")'
)
TOTAL = 'models.CheckConstraint(condition=models.Q(total__gt=10), name="order_total_floor")'
ONCE = 'models.UniqueConstraint(fields=["number", "currency"], name="order_number_once")'
ROOM = (
    'constraints.ExclusionConstraint(name="booking_apart", expressions=[("during", "&&")], index_type="GIST")'
)
RANGES = "from django.contrib.postgres.fields import RangeOperators"

CASES: tuple[Case, ...] = (
    safe("check not valid that old values keep", "no scan, and the old model's choices keep it", add("customer", SEGMENT, NOT_VALID)),
    safe("check not valid, validated in the next migration", "VALIDATE reads under SHARE UPDATE EXCLUSIVE",
         add("customer", SEGMENT, NOT_VALID), 'ValidateConstraint("customer", "customer_segment")'),
    safe("validate what was not valid", "as above", sql("ALTER TABLE store_order VALIDATE CONSTRAINT order_total_cap")),
    safe("validate in lower case", "as above", sql("alter table only store_order validate constraint order_total_cap;")),
    safe("foreign key not valid", "brief locks, no scan", sql(
        "ALTER TABLE store_product ADD CONSTRAINT product_supplier FOREIGN KEY (supplier_id) REFERENCES store_club (id) NOT VALID",
        "ALTER TABLE store_product DROP CONSTRAINT product_supplier")),
    safe("foreign key not valid, then validated", "VALIDATE takes ROW SHARE on the other table", sql(
        "ALTER TABLE store_product ADD CONSTRAINT product_supplier FOREIGN KEY (supplier_id) REFERENCES store_club (id) NOT VALID",
        "ALTER TABLE store_product DROP CONSTRAINT product_supplier"), sql("ALTER TABLE store_product VALIDATE CONSTRAINT product_supplier")),
    safe("unique by a concurrent index", "built without a lock; USING INDEX is brief",
         concurrent(sql("CREATE UNIQUE INDEX CONCURRENTLY order_number_once ON store_order (number, currency)", "DROP INDEX CONCURRENTLY IF EXISTS order_number_once")),
         sql("ALTER TABLE store_order ADD CONSTRAINT order_number_once UNIQUE USING INDEX order_number_once",
             "ALTER TABLE store_order DROP CONSTRAINT order_number_once")),
    safe("drop check", "nobody is refused by less", 'migrations.RemoveConstraint("product", "product_price_cap")'),
    safe("not enforced check", "since 18 a check that checks nothing", sql(
        "ALTER TABLE store_customer ADD CONSTRAINT wish CHECK (points > 5) NOT ENFORCED", "ALTER TABLE store_customer DROP CONSTRAINT wish")),
    safe("rename constraint", "the catalog only", sql("ALTER TABLE store_product RENAME CONSTRAINT product_price_cap TO price_cap",
                                                  "ALTER TABLE store_product RENAME CONSTRAINT price_cap TO product_price_cap")),
    safe("foreign key deferred otherwise", "the catalog only", sql(
        "ALTER TABLE store_payment ADD CONSTRAINT extra_fk FOREIGN KEY (order_id) REFERENCES store_order (id) DEFERRABLE INITIALLY DEFERRED NOT VALID",
        "ALTER TABLE store_payment DROP CONSTRAINT extra_fk")),
    disputed("drop unique constraint", "brief; nobody is refused by less", "an INSERT … ON CONFLICT of the old code would fail",
         'migrations.AlterUniqueTogether("line", set())'),
    safe("drop db_constraint", "the key is dropped, the column stays",
         'migrations.AlterField("payment", "order", models.ForeignKey("store.Order", models.CASCADE, db_constraint=False))'),
    safe("on_delete in Python", "no SQL", 'migrations.AlterField("payment", "order", models.ForeignKey("store.Order", models.PROTECT))'),
    safe("constraint of a new table", "nobody uses it yet",
         'migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("size", models.IntegerField()),'
         ' ("customer", models.ForeignKey("store.Customer", models.CASCADE))]),'
         'migrations.AddConstraint("note", models.CheckConstraint(condition=models.Q(size__gt=0), name="note_size")),'
         'migrations.AddConstraint("note", models.UniqueConstraint(fields=["customer", "size"], name="note_once"))'),
    unsafe("add check", "lock", "a scan under ACCESS EXCLUSIVE", add("customer", SEGMENT)),
    unsafe("add check that old values may break", "lock", "a scan, and negative points are refused", add("customer", POINTS)),
    unsafe("add check that rows break", "fails", "rows violate it", add("order", TOTAL)),
    unsafe("check not valid that rows break", "breaks_old", "an UPDATE of such a row is refused", add("order", TOTAL, NOT_VALID)),
    unsafe("validate what rows break", "fails", "rows violate it", add("order", TOTAL, NOT_VALID), 'ValidateConstraint("order", "order_total_floor")'),
    unsafe("check not valid and validated at once", "lock", "VALIDATE scans while the ADD's ACCESS EXCLUSIVE is held",
           add("customer", SEGMENT, NOT_VALID) + ', ValidateConstraint("customer", "customer_segment")'),
    unsafe("check by SQL", "lock", "a scan", sql("ALTER TABLE store_customer ADD CHECK (points < 100000)", "ALTER TABLE store_customer DROP CONSTRAINT store_customer_points_check")),
    unsafe("named check in lower case", "lock", "a scan", sql(
        "alter table store_customer add constraint pts check (points < 100000)", "alter table store_customer drop constraint pts")),
    unsafe("NOT VALID in a comment", "lock", "a comment is no clause", sql(
        "ALTER TABLE store_customer ADD CONSTRAINT pts CHECK (points < 100000) -- NOT VALID\n", "ALTER TABLE store_customer DROP CONSTRAINT pts")),
    unsafe("foreign key by SQL", "lock", "every row is looked up under SHARE ROW EXCLUSIVE on both tables", sql(
        "ALTER TABLE store_product ADD CONSTRAINT product_supplier FOREIGN KEY (supplier_id) REFERENCES store_club (id)",
        "ALTER TABLE store_product DROP CONSTRAINT product_supplier")),
    unsafe("foreign key not valid and validated at once", "lock", "SHARE ROW EXCLUSIVE is held while it scans", sql(
        "ALTER TABLE store_product ADD CONSTRAINT product_supplier FOREIGN KEY (supplier_id) REFERENCES store_club (id) NOT VALID;"
        "ALTER TABLE store_product VALIDATE CONSTRAINT product_supplier", "ALTER TABLE store_product DROP CONSTRAINT product_supplier")),
    unsafe("restore db_constraint", "lock", "every row is looked up",
           'migrations.AlterField("payment", "order", models.ForeignKey("store.Order", models.CASCADE, db_constraint=False)),'
           'migrations.AlterField("payment", "order", models.ForeignKey("store.Order", models.CASCADE))'),
    unsafe("add unique constraint", "lock", "an index is built under ACCESS EXCLUSIVE", add("order", ONCE)),
    unsafe("add unique constraint that rows break", "fails", "rows violate it", add("order", 'models.UniqueConstraint(fields=["status"], name="x")')),
    unsafe("unique constraint with a condition", "lock", "a unique index, under SHARE", add(
        "order", 'models.UniqueConstraint(fields=["number"], condition=models.Q(status="paid"), name="order_paid_once")')),
    unsafe("unique constraint on an expression", "lock", "as above", add("order", 'models.UniqueConstraint(functions.Upper("number"), name="order_upper")')),
    unsafe("deferrable unique constraint", "lock", "an index is built under ACCESS EXCLUSIVE", add(
        "order", 'models.UniqueConstraint(fields=["number"], name="order_later", deferrable=models.Deferrable.DEFERRED)')),
    unsafe("unique_together", "lock", "an index is built under ACCESS EXCLUSIVE", 'migrations.AlterUniqueTogether("order", {("number", "currency")})'),
    unsafe("unique=True", "lock", "as above", 'migrations.AlterField("line", "position", models.IntegerField(unique=True))'),
    unsafe("unique by SQL", "lock", "as above", sql("ALTER TABLE store_order ADD UNIQUE (number, total)", "ALTER TABLE store_order DROP CONSTRAINT store_order_number_total_key")),
    unsafe("foreign key becomes one-to-one", "lock", "a unique index", 'migrations.AlterField("payment", "order", models.OneToOneField("store.Order", models.CASCADE))'),
    unsafe("exclusion constraint", "lock", "no NOT VALID for it: an index is built under ACCESS EXCLUSIVE", Body(add("booking", ROOM), head=RANGES)),
    unsafe("exclusion constraint by SQL", "lock", "as above", sql(
        "ALTER TABLE store_booking ADD CONSTRAINT apart EXCLUDE USING gist (during WITH &&)", "ALTER TABLE store_booking DROP CONSTRAINT apart")),
    unsafe("new primary key", "lock", "an index is built under ACCESS EXCLUSIVE", sql(
        "ALTER TABLE store_club DROP CONSTRAINT store_club_pkey CASCADE, ADD PRIMARY KEY (id, name)", "")),
    unsafe("constraint on a domain", "lock", "every column of the domain is scanned", sql(
        "ALTER DOMAIN store_grade ADD CONSTRAINT graded CHECK (VALUE >= 0)", "ALTER DOMAIN store_grade DROP CONSTRAINT graded")),
    unsafe("set domain not null", "fails", "a column of the domain has NULL, or is scanned", sql(
        "UPDATE store_order SET grade = NULL WHERE id = 1; ALTER DOMAIN store_grade SET NOT NULL", "ALTER DOMAIN store_grade DROP NOT NULL")),
    safe("constraint on a domain, not valid", "no scan", sql(
        "ALTER DOMAIN store_grade ADD CONSTRAINT graded CHECK (VALUE >= -2147483648) NOT VALID", "ALTER DOMAIN store_grade DROP CONSTRAINT graded")),
    disputed("check not valid that nothing promises", "rows keep it, the old model does not promise to",
             "the field calls it the safe way; a strict reading of the old model says that it may be refused", add("customer", POINTS, NOT_VALID)),
    disputed("not null by a check, step by step", "rows keep it, but the old model may write NULL", "as above", sql(
        "ALTER TABLE store_customer ADD CONSTRAINT born_set CHECK (born IS NOT NULL) NOT VALID", "ALTER TABLE store_customer DROP CONSTRAINT born_set"),
        sql("ALTER TABLE store_customer VALIDATE CONSTRAINT born_set"), 'migrations.AlterField("customer", "born", models.DateField(default="2000-01-01"))'),
)  # fmt: skip
