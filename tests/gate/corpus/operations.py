"""Django's operations where the name says one thing and the SQL another, or where there is no SQL at all."""

from .case import Body, Case, concurrent, disputed, safe, sql, unsafe

STATE = "migrations.SeparateDatabaseAndState(state_operations=[{}])"
EDITOR = """
def forwards(apps, editor):
    model = apps.get_model("store", "Order")
    editor.add_index(model, models.Index(fields=["total"], name="order_total_idx"))

def backwards(apps, editor):
    model = apps.get_model("store", "Order")
    editor.remove_index(model, models.Index(fields=["total"], name="order_total_idx"))
"""
EDITOR_FIELD = """
def forwards(apps, editor):
    model = apps.get_model("store", "Order")
    field = models.IntegerField(null=True)
    field.set_attributes_from_name("extra")
    editor.add_field(model, field)

def backwards(apps, editor):
    editor.execute("ALTER TABLE store_order DROP COLUMN extra")
"""
ITERATOR = """
def forwards(apps, editor):
    customers = apps.get_model("store", "Customer").objects.using(editor.connection.alias)
    for customer in customers.iterator(chunk_size=50):
        customers.filter(pk=customer.pk).update(points=0)
"""
BULK = """
def forwards(apps, editor):
    customers = apps.get_model("store", "Customer").objects.using(editor.connection.alias)
    changed = list(customers.all())
    for customer in changed:
        customer.points = 1
    customers.bulk_update(changed, ["points"], batch_size=50)
"""
TABLE = "CREATE TABLE store_booking_copy AS SELECT * FROM store_booking"
COLLATION = "from django.contrib.postgres.operations import CreateCollation"

STATE_ONLY: tuple[Case, ...] = (
    safe("remove many-to-many with a through model", "no SQL: the table is the through model's", 'migrations.RemoveField("club", "members")'),
    safe("add many-to-many through a live model", "no SQL", 'migrations.AddField("customer", "clubs",'
         ' models.ManyToManyField("store.Club", through="store.Membership", related_name="+"))'),
    safe("delete unmanaged model", "no SQL: the view stays", 'migrations.DeleteModel("Sales")'),
    safe("new unmanaged model", "no SQL", 'migrations.CreateModel("Report", [("id", models.BigAutoField(primary_key=True))],'
         ' options={"managed": False, "db_table": "store_order"})'),
    safe("field of an unmanaged model", "no SQL; the column is there", 'migrations.AlterField("metric", "value", models.BigIntegerField())'),
    safe("rename model with a table of its own name", "db_table is set, nothing refers to it", 'migrations.RenameModel("Line", "Item")'),
    safe("auto_now", "no SQL", 'migrations.AlterField("customer", "joined_at", models.DateTimeField(auto_now=True))'),
    safe("related_name", "no SQL", 'migrations.AlterField("payment", "order", models.ForeignKey("store.Order", models.CASCADE, related_name="payments"))'),
    safe("limit_choices_to and blank", "no SQL", 'migrations.AlterField("product", "category", models.ForeignKey("store.Category", models.PROTECT, blank=True, limit_choices_to={"position": 1}))'),
    safe("database operation with its state", "a nullable column",
         "migrations.RunSQL('ALTER TABLE store_customer ADD COLUMN level integer', 'ALTER TABLE store_customer DROP COLUMN level',"
         ' state_operations=[migrations.AddField("customer", "level", models.IntegerField(null=True))])'),
    safe("concurrent index with its state", "writers go on", concurrent(
        "migrations.RunSQL('CREATE INDEX CONCURRENTLY order_total_idx ON store_order (total)', 'DROP INDEX CONCURRENTLY order_total_idx',"
        ' state_operations=[migrations.AddIndex("order", models.Index(fields=["total"], name="order_total_idx"))])')),
    safe("index in the state only", "the database has it already", STATE.format(
        'migrations.AddIndex("order", models.Index(fields=["total"], name="order_total_idx"))')),
    safe("unique constraint from a concurrent index, with its state", "USING INDEX is brief",
         concurrent(sql("CREATE UNIQUE INDEX CONCURRENTLY line_place ON shop_lines (position)", "DROP INDEX CONCURRENTLY IF EXISTS line_place")),
         """migrations.SeparateDatabaseAndState(database_operations=[
             migrations.RunSQL("ALTER TABLE shop_lines ADD CONSTRAINT line_place UNIQUE USING INDEX line_place", "ALTER TABLE shop_lines DROP CONSTRAINT line_place")],
             state_operations=[migrations.AddConstraint("line", models.UniqueConstraint(fields=["position"], name="line_place"))])"""),
    safe("swappable option and permissions", "no SQL", 'migrations.AlterModelOptions("club", {"permissions": [("open", "Open")], "default_related_name": "x"})'),
    safe("noop in both directions", "nothing", "migrations.RunSQL(migrations.RunSQL.noop, migrations.RunSQL.noop),"
         "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)"),
    safe("an empty migration", "nothing", ""),
    safe("merge migration", "nothing", "", ""),
)  # fmt: skip

DATABASE: tuple[Case, ...] = (
    safe("field of a child table", "a constant default", 'migrations.AddField("cardpayment", "brand", models.CharField(max_length=9, db_default="visa"))'),
    safe("new model with everything", "new: nobody can be locked", """migrations.CreateModel("Offer", [
        ("id", models.UUIDField(primary_key=True, default=uuid.uuid4)), ("text", models.TextField(db_index=True)), ("price", models.PositiveIntegerField()),
        ("double", models.GeneratedField(expression=models.F("price") * 2, output_field=models.IntegerField(), db_persist=True)),
        ("product", models.ForeignKey("store.Product", models.CASCADE)), ("customers", models.ManyToManyField("store.Customer"))],
        options={"db_table_comment": "x", "indexes": [models.Index(fields=["price"], name="offer_price")],
                 "constraints": [models.UniqueConstraint(fields=["text", "price"], name="offer_once")], "unique_together": {("price", "product")}})"""),
    safe("schema editor adds a column", "a nullable column", Body("migrations.RunPython(forwards, backwards)", head=EDITOR_FIELD)),
    safe("collation", "new", Body('CreateCollation("plain", provider="libc", locale="C")', head=COLLATION)),
    safe("fill a new table from a live one", "reads a live table, writes a new one", sql(TABLE, "DROP TABLE store_booking_copy")
         + "," + sql("UPDATE store_booking_copy SET room = room + 1")),
    safe("db_default Now where Python had it", "for rows to come", 'migrations.AlterField("customer", "joined_at", models.DateTimeField(db_default=functions.Now()))'),
    safe("foreign key dropped, then again NOT VALID", "no scan", sql(
        "ALTER TABLE store_membership DROP CONSTRAINT IF EXISTS nothing; ALTER TABLE store_membership ADD CONSTRAINT club_again FOREIGN KEY (club_id) REFERENCES store_club (id) NOT VALID",
        "ALTER TABLE store_membership DROP CONSTRAINT club_again")),
    unsafe("field of a child table with Python default", "breaks_old", "the old INSERT leaves it NULL", 'migrations.AddField("cardpayment", "brand", models.CharField(max_length=9, default="visa"))'),
    unsafe("field of a parent table with Python default", "breaks_old", "the child's INSERT writes the parent too", 'migrations.AddField("payment", "fee", models.IntegerField(default=0))'),
    unsafe("field of a through table with Python default", "breaks_old", "the old INSERT leaves it NULL", 'migrations.AddField("membership", "level", models.IntegerField(default=1))'),
    unsafe("file field", "breaks_old", "a varchar with an empty default that Django drops", 'migrations.AddField("product", "photo", models.FileField(upload_to="x", default=""))'),
    unsafe("foreign key to another table", "lock", "dropped and added: every row is looked up", 'migrations.AlterField("payment", "order", models.ForeignKey("store.Club", models.CASCADE))'),
    unsafe("rename a table with a many-to-many", "breaks_old", "both tables are renamed", 'migrations.AlterModelTable("coupon", "vouchers")'),
    unsafe("rename the primary key", "breaks_old", "code becomes key, and so does the many-to-many's column", 'migrations.RenameField("coupon", "code", "key")'),
    unsafe("longer text key", "lock", "the many-to-many's column changes too", 'migrations.AlterField("coupon", "code", models.SlugField(max_length=9, primary_key=True))'),
    unsafe("index_together left over", "lock", "it builds an index, as AddIndex does", 'migrations.AlterIndexTogether("order", {("total", "external")})'),
    unsafe("index of a through table", "lock", "SHARE for the build", 'migrations.AddIndex("membership", models.Index(fields=["role"], name="membership_role"))'),
    unsafe("index of a child table", "lock", "SHARE for the build", 'migrations.AddIndex("cardpayment", models.Index(fields=["last4"], name="card_last4"))'),
    unsafe("unique constraint that takes NULL for a value", "lock", "an index is built", 'migrations.AddConstraint("line",'
           ' models.UniqueConstraint(fields=["position"], name="line_place", nulls_distinct=False))'),
    unsafe("unique constraint with more columns along", "lock", "an index is built", 'migrations.AddConstraint("line",'
           ' models.UniqueConstraint(fields=["position"], name="line_place", include=["quantity"]))'),
    unsafe("schema editor builds an index", "lock", "SHARE for the build", Body("migrations.RunPython(forwards, backwards)", head=EDITOR)),
    unsafe("delete model that others refer to", "breaks_old", "with the columns that refer to it",
           'migrations.RemoveField("club", "members"), migrations.DeleteModel("Membership"), migrations.DeleteModel("Club")'),
    unsafe("update of each row by its key", "data", "one transaction all the same", Body("migrations.RunPython(forwards, migrations.RunPython.noop)", head=ITERATOR)),
    unsafe("bulk_update in batches", "data", "one transaction all the same", Body("migrations.RunPython(forwards, migrations.RunPython.noop)", head=BULK)),
    unsafe("check on several columns", "lock", "a scan under ACCESS EXCLUSIVE", 'migrations.AddConstraint("line", models.CheckConstraint('
           'condition=models.Q(quantity__gt=0) | models.Q(position=0), name="line_some"))'),
    unsafe("decimal key by another name and type", "breaks_old", "renamed and rewritten", 'migrations.RenameField("payment", "amount", "cents"),'
           'migrations.AlterField("payment", "cents", models.DecimalField(max_digits=12, decimal_places=2))'),
    unsafe("managed table made unmanaged, then dropped", "breaks_old", "the old code still reads it",
           'migrations.AlterModelOptions("booking", {"managed": False})', sql("DROP TABLE store_booking", "CREATE TABLE store_booking (id bigint)")),
    unsafe("dropped in the state, then in the same release in the database", "breaks_old", "the release before still reads it",
           STATE.format('migrations.RemoveField("customer", "born")'), sql("ALTER TABLE store_customer DROP COLUMN born", "ALTER TABLE store_customer ADD born date")),
    disputed("drop unique", "nobody is refused by less", "an INSERT … ON CONFLICT of the old code would fail", 'migrations.AlterField("order", "number", models.CharField(max_length=12))'),
)  # fmt: skip

CASES = STATE_ONLY + DATABASE
