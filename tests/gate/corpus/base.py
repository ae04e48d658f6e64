"""The app that is live: what its first two migrations make, and the rows in it."""

from .case import Body

ROWS = 300

FIELDS = '''
from django.db import models


class MoodField(models.TextField):
    """An enum type of the database's own."""

    def db_type(self, connection):
        return "store_mood"


class GradeField(models.IntegerField):
    """A domain over integer."""

    def db_type(self, connection):
        return "store_grade"


class CidrField(models.TextField):
    def db_type(self, connection):
        return "cidr"
'''

FIRST = Body(
    """
    migrations.RunSQL("CREATE TYPE store_mood AS ENUM ('calm', 'cross')", "DROP TYPE store_mood"),
    migrations.RunSQL("CREATE DOMAIN store_grade AS integer", "DROP DOMAIN store_grade"),
    migrations.CreateModel("Customer", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
        ("email", models.CharField(max_length=100, unique=True)),
        ("phone", models.CharField(max_length=20, null=True)),
        ("segment", models.CharField(max_length=10, choices=[("retail", "R"), ("trade", "T")],
                                     default="retail")),
        ("points", models.IntegerField(default=0)),
        ("active", models.BooleanField(default=True)),
        ("nickname", models.CharField(max_length=30, blank=True, default="")),
        ("born", models.DateField(null=True)),
        ("settings", models.JSONField(default=dict)),
        ("joined_at", models.DateTimeField(default=timezone.now)),
        ("legacy_code", models.CharField(max_length=20, null=True)),
        ("legacy_rank", models.IntegerField(default=0)),
        ("referrer", models.ForeignKey("self", models.SET_NULL, null=True)),
    ], options={"indexes": [models.Index(fields=["name"], name="customer_name_idx")]}),
    migrations.CreateModel("Category", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
        ("slug", models.SlugField(unique=True)),
        ("position", models.PositiveSmallIntegerField(default=0)),
        ("parent", models.ForeignKey("self", models.CASCADE, null=True, blank=True)),
    ]),
    migrations.CreateModel("Product", [
        ("id", models.BigAutoField(primary_key=True)),
        ("sku", models.CharField(max_length=20, unique=True)),
        ("title", models.CharField(max_length=100)),
        ("price", models.DecimalField(max_digits=8, decimal_places=2)),
        ("cost", models.DecimalField(max_digits=8, decimal_places=2, null=True)),
        ("stock", models.PositiveIntegerField(default=0)),
        ("weight", models.FloatField(null=True)),
        ("rank", models.SmallIntegerField(default=0)),
        ("tags", ArrayField(models.CharField(max_length=20), default=list)),
        ("attributes", models.JSONField(default=dict)),
        ("gross", models.GeneratedField(expression=models.F("price") * 2, db_persist=True,
            output_field=models.DecimalField(max_digits=12, decimal_places=2))),
        ("published", models.BooleanField(db_default=True)),
        ("notes", models.TextField(blank=True, default="")),
        ("category", models.ForeignKey("store.Category", models.PROTECT)),
        ("supplier_id", models.BigIntegerField(null=True)),
    ], options={
        "indexes": [
            models.Index(fields=["price"], condition=models.Q(published=True), name="product_shown_idx"),
            models.Index(functions.Lower("sku"), name="product_sku_lower_idx"),
        ],
        "constraints": [
            models.CheckConstraint(condition=models.Q(price__lt=1000000), name="product_price_cap"),
            models.UniqueConstraint(functions.Lower("title"), "category", name="product_title_once"),
            models.UniqueConstraint(fields=["sku"], condition=models.Q(published=True),
                                    name="product_shown_once"),
        ],
    }),
    migrations.CreateModel("Order", [
        ("id", models.BigAutoField(primary_key=True)),
        ("number", models.CharField(max_length=12, unique=True)),
        ("customer", models.ForeignKey("store.Customer", models.CASCADE)),
        ("status", models.CharField(max_length=10, choices=[("new", "N"), ("paid", "P"), ("sent", "S")],
                                    db_default="new")),
        ("total", models.IntegerField()),
        ("note", models.CharField(max_length=100, null=True)),
        ("placed_at", models.DateTimeField(db_default=functions.Now())),
        ("currency", models.CharField(max_length=3, default="EUR")),
        ("external", models.IntegerField(null=True)),
        ("channel", models.CharField(max_length=10, default="web", null=True)),
        ("region", models.CharField(max_length=10, default="eu", null=True)),
        ("mood", MoodField(null=True)),
        ("grade", GradeField(null=True)),
    ], options={"indexes": [models.Index(fields=["status", "placed_at"], name="order_status_idx")]}),
    migrations.CreateModel("Line", [
        ("id", models.BigAutoField(primary_key=True)),
        ("order", models.ForeignKey("store.Order", models.CASCADE)),
        ("product", models.ForeignKey("store.Product", models.PROTECT)),
        ("quantity", models.IntegerField(default=1)),
        ("position", models.IntegerField()),
    ], options={"db_table": "shop_lines", "unique_together": {("order", "position")}}),
    migrations.CreateModel("Coupon", [
        ("code", models.CharField(max_length=12, primary_key=True)),
        ("percent", models.SmallIntegerField(default=10)),
        ("products", models.ManyToManyField("store.Product")),
    ]),
    migrations.CreateModel("Payment", [
        ("id", models.BigAutoField(primary_key=True)),
        ("amount", models.IntegerField()),
        ("order", models.ForeignKey("store.Order", models.CASCADE)),
    ]),
    migrations.CreateModel("CardPayment", [
        ("payment_ptr", models.OneToOneField("store.Payment", models.CASCADE, auto_created=True,
            parent_link=True, primary_key=True, serialize=False)),
        ("last4", models.CharField(max_length=4)),
    ], bases=("store.payment",)),
    migrations.CreateModel("Club", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
    ]),
    migrations.CreateModel("Membership", [
        ("id", models.BigAutoField(primary_key=True)),
        ("customer", models.ForeignKey("store.Customer", models.CASCADE)),
        ("club", models.ForeignKey("store.Club", models.CASCADE)),
        ("role", models.CharField(max_length=10, default="member")),
    ]),
    migrations.AddField("club", "members",
        models.ManyToManyField("store.Customer", through="store.Membership")),
    migrations.CreateModel("Event", [
        ("id", models.UUIDField(primary_key=True, default=uuid.uuid4)),
        ("kind", models.CharField(max_length=20)),
        ("payload", models.JSONField(default=dict)),
        ("at", models.DateTimeField(default=timezone.now)),
        ("lasted", models.DurationField(null=True)),
        ("network", CidrField(null=True)),
    ]),
    migrations.CreateModel("Booking", [
        ("id", models.BigAutoField(primary_key=True)),
        ("room", models.IntegerField()),
        ("during", DateTimeRangeField()),
    ]),
    migrations.CreateModel("Retired", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
    ]),
    migrations.RunSQL(
        "CREATE TABLE store_metric (id bigint GENERATED BY DEFAULT AS IDENTITY, day date NOT NULL,"
        " value integer NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
        "CREATE TABLE store_metric_2025 PARTITION OF store_metric"
        " FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
        "CREATE TABLE store_metric_2026 PARTITION OF store_metric"
        " FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
        "CREATE VIEW store_sales AS SELECT customer_id AS id, sum(total) AS total FROM store_order"
        " GROUP BY customer_id;"
        "CREATE FUNCTION store_shout(text) RETURNS text IMMUTABLE LANGUAGE sql"
        " RETURN upper($1);"
        "CREATE FUNCTION store_today() RETURNS date VOLATILE LANGUAGE plpgsql"
        " AS 'BEGIN RETURN current_date; END';",
        "DROP VIEW store_sales; DROP TABLE store_metric; DROP FUNCTION store_shout(text), store_today();",
    ),
    migrations.CreateModel("Metric", [
        ("id", models.BigIntegerField(primary_key=True)),
        ("day", models.DateField()),
        ("value", models.IntegerField()),
    ], options={"managed": False, "db_table": "store_metric"}),
    migrations.CreateModel("Sales", [
        ("id", models.BigIntegerField(primary_key=True)),
        ("total", models.IntegerField()),
    ], options={"managed": False, "db_table": "store_sales"}),
    """
)

SECOND = Body(
    """
    # One release ago the code stopped to use these: only the database still has them.
    migrations.SeparateDatabaseAndState(state_operations=[
        migrations.DeleteModel("Retired"),
        migrations.RemoveField("customer", "legacy_code"),
        migrations.RemoveField("customer", "legacy_rank"),
        migrations.AlterField("order", "channel", models.CharField(max_length=10, default="web")),
        migrations.AlterField("order", "region", models.CharField(max_length=10, default="eu")),
    ]),
    migrations.RunSQL("ALTER TABLE store_customer ALTER legacy_rank SET DEFAULT 0", ""),
    migrations.RunSQL(
        "ALTER TABLE store_order ADD CONSTRAINT order_channel_set CHECK (channel IS NOT NULL)",
        "ALTER TABLE store_order DROP CONSTRAINT order_channel_set",
    ),
    migrations.RunSQL(
        "ALTER TABLE store_order ADD CONSTRAINT order_total_cap CHECK (total < 100000000) NOT VALID",
        "ALTER TABLE store_order DROP CONSTRAINT order_total_cap",
    ),
    """
)

FILL = f"""
INSERT INTO store_customer (name, email, phone, points, segment, active, nickname, born, settings, joined_at,
                            legacy_code, legacy_rank, referrer_id)
    SELECT 'n' || i % 90, 'e' || i || '@example.org', CASE WHEN i % 3 > 0 THEN '+49' || i % 50 END, i % 40,
           CASE i % 2 WHEN 0 THEN 'retail' ELSE 'trade' END, i % 7 > 0, '', date '1980-01-01' + i % 200, '{{}}',
           now(), 'l' || i % 20, 1, NULLIF(i / 2, 0)
    FROM generate_series(1, {ROWS}) i;
INSERT INTO store_category (name, slug, position, parent_id)
    SELECT 'c' || i % 30, 'c-' || i, i % 9, NULLIF(i / 3, 0) FROM generate_series(1, {ROWS}) i;
INSERT INTO store_product (sku, title, price, cost, stock, weight, rank, tags, attributes, published, notes,
                           category_id, supplier_id)
    SELECT 's' || i, 'title ' || i, i % 100, i % 50, i % 20, 0.5, i % 5, '{{red}}', '{{"a": 1}}', i % 4 > 0,
           'text', i, i % 30 + 1
    FROM generate_series(1, {ROWS}) i;
INSERT INTO store_order (number, customer_id, status, total, note, currency, external, channel, region, mood,
                         grade)
    SELECT 'o' || i, i, (ARRAY['new', 'paid', 'sent'])[1 + i % 3], i % 60, CASE WHEN i % 5 > 0 THEN 'note' END,
           'EUR', i % 70, 'web', 'eu', (ARRAY['calm', 'cross'])[1 + i % 2]::store_mood, i % 6
    FROM generate_series(1, {ROWS}) i;
INSERT INTO shop_lines (order_id, product_id, quantity, position)
    SELECT i, i, i % 4 + 1, i FROM generate_series(1, {ROWS}) i;
INSERT INTO store_coupon (code, percent) SELECT 'k' || i, i % 30 FROM generate_series(1, {ROWS}) i;
INSERT INTO store_coupon_products (coupon_id, product_id)
    SELECT 'k' || i, i FROM generate_series(1, {ROWS}) i;
INSERT INTO store_payment (amount, order_id) SELECT i % 60, i FROM generate_series(1, {ROWS}) i;
INSERT INTO store_cardpayment (payment_ptr_id, last4)
    SELECT i, lpad((i % 90)::text, 4, '0') FROM generate_series(1, {ROWS}) i;
INSERT INTO store_club (name) SELECT 'club ' || i % 90 FROM generate_series(1, {ROWS}) i;
INSERT INTO store_membership (customer_id, club_id, role)
    SELECT i, i, 'member' FROM generate_series(1, {ROWS}) i;
INSERT INTO store_event (id, kind, payload, at, lasted, network)
    SELECT gen_random_uuid(), 'kind ' || i % 9, '{{}}', now(), interval '1 second' * i, '10.0.0.0/8'
    FROM generate_series(1, {ROWS}) i;
INSERT INTO store_booking (room, during)
    SELECT i, tstzrange(timestamptz '2026-01-01' + i * interval '1 day',
                        timestamptz '2026-01-01' + (i + 1) * interval '1 day')
    FROM generate_series(1, {ROWS}) i;
INSERT INTO store_retired (name) SELECT 'r' || i % 9 FROM generate_series(1, {ROWS}) i;
INSERT INTO store_metric (day, value) SELECT date '2026-01-01' + i, i % 30 FROM generate_series(1, {ROWS}) i;
ANALYZE;
"""
