"""Changes of a column's type: which ones PostgreSQL does in the catalog, and which ones row by row."""

from .case import Case, disputed, safe, sql, unsafe


def alter(model: str, field: str, declared: str) -> str:
    return f'migrations.AlterField("{model}", "{field}", models.{declared})'


CASES: tuple[Case, ...] = (
    safe("widen varchar", "no rewrite, no scan", alter("customer", "nickname", 'CharField(max_length=60, blank=True, default="")')),
    safe("widen indexed varchar", "the index stays", alter("customer", "name", "CharField(max_length=80)")),
    safe("widen unique varchar", "both of its indexes stay", alter("customer", "email", "CharField(max_length=200, unique=True)")),
    safe("varchar to text", "the same bytes", alter("customer", "nickname", 'TextField(blank=True, default="")')),
    safe("varchar without limit", "the same bytes", alter("customer", "phone", "CharField(null=True)")),
    safe("char to email field", "the same type and length", alter("customer", "email", "EmailField(max_length=100, unique=True)")),
    safe("char to url field, wider", "a wider varchar", alter("order", "note", "URLField(max_length=200, null=True)")),
    safe("widen numeric", "more precision at the same scale", alter("product", "cost", "DecimalField(max_digits=12, decimal_places=2, null=True)")),
    safe("numeric without limit", "no check is left to make", sql("ALTER TABLE store_product ALTER cost TYPE numeric", "ALTER TABLE store_product ALTER cost TYPE numeric(8, 2)")),
    safe("cidr to inet", "the same bytes", sql("ALTER TABLE store_event ALTER network TYPE inet", "ALTER TABLE store_event ALTER network TYPE cidr")),
    safe("positive integer to integer", "the CHECK is dropped", alter("product", "stock", "IntegerField(default=0)")),
    safe("type that it has", "nothing to do", sql("ALTER TABLE store_customer ALTER COLUMN points TYPE integer, ALTER name TYPE varchar(50)", "")),
    safe("widen varchar by SQL", "no rewrite", sql('ALTER TABLE "store_customer" ALTER COLUMN "phone" SET DATA TYPE character varying(40)',
                                                "ALTER TABLE store_customer ALTER phone TYPE varchar(20)")),
    safe("timestamptz precision kept", "timestamptz(6) is timestamptz", sql("ALTER TABLE store_event ALTER at TYPE timestamptz(6)", "ALTER TABLE store_event ALTER at TYPE timestamptz")),
    unsafe("narrow varchar", "lock", "every row is tested and written", alter("customer", "nickname", 'CharField(max_length=10, blank=True, default="")')),
    unsafe("narrow varchar below the data", "fails", "values are longer", alter("product", "title", "CharField(max_length=4)")),
    unsafe("text to varchar", "lock", "a limit has to be tested", alter("product", "notes", 'CharField(max_length=500, blank=True, default="")')),
    unsafe("integer to bigint", "lock", "rewrite", alter("customer", "points", "BigIntegerField(default=0)")),
    unsafe("smallint to integer", "lock", "rewrite", alter("product", "rank", "IntegerField(default=0)")),
    unsafe("integer to smallint", "lock", "rewrite", alter("order", "external", "SmallIntegerField(null=True)")),
    unsafe("bigint to integer", "lock", "rewrite", alter("product", "supplier_id", "IntegerField(null=True)")),
    unsafe("key bigint to integer", "lock", "rewrite of the table and of those that refer to it", alter("club", "id", "AutoField(primary_key=True)")),
    unsafe("integer to text", "lock", "rewrite", alter("order", "external", "TextField(null=True)")),
    unsafe("text to integer with USING", "lock", "rewrite",
           sql("ALTER TABLE store_cardpayment ALTER last4 TYPE integer USING last4::integer", "ALTER TABLE store_cardpayment ALTER last4 TYPE varchar(4)")),
    unsafe("more decimal places", "lock", "rewrite", alter("product", "cost", "DecimalField(max_digits=12, decimal_places=4, null=True)")),
    unsafe("wider, but fewer places", "lock", "the scale changes: rewrite", alter("product", "cost", "DecimalField(max_digits=10, decimal_places=1, null=True)")),
    unsafe("less precision", "lock", "rewrite", alter("product", "cost", "DecimalField(max_digits=6, decimal_places=2, null=True)")),
    unsafe("numeric limited by SQL", "lock", "rewrite", sql("ALTER TABLE store_product ALTER COLUMN cost TYPE numeric(12,3)", "ALTER TABLE store_product ALTER cost TYPE numeric(8, 2)")),
    unsafe("float to decimal", "lock", "rewrite", alter("product", "weight", "DecimalField(max_digits=9, decimal_places=3, null=True)")),
    unsafe("date to timestamp", "lock", "rewrite", alter("customer", "born", "DateTimeField(null=True)")),
    unsafe("timestamp to date", "lock", "rewrite", alter("customer", "joined_at", "DateField(default=timezone.now)")),
    unsafe("boolean to integer", "lock", "rewrite", sql(
        "ALTER TABLE store_customer ALTER active TYPE integer USING active::int", "ALTER TABLE store_customer ALTER active TYPE boolean USING active > 0")),
    unsafe("jsonb to json", "lock", "rewrite, and no equality operator", sql("ALTER TABLE store_event ALTER payload TYPE json", "ALTER TABLE store_event ALTER payload TYPE jsonb")),
    unsafe("jsonb to text", "lock", "rewrite", sql("ALTER TABLE store_event ALTER payload TYPE text", "ALTER TABLE store_event ALTER payload TYPE jsonb USING payload::jsonb")),
    unsafe("inet to cidr", "lock", "the other way round every value is tested",
           sql("ALTER TABLE store_event ALTER network TYPE inet", "") + "," + sql("ALTER TABLE store_event ALTER network TYPE cidr", "")),
    unsafe("uuid to text", "lock", "rewrite", sql("ALTER TABLE store_event ALTER id TYPE text", "ALTER TABLE store_event ALTER id TYPE uuid USING id::uuid")),
    unsafe("text to enum", "lock", "rewrite; what the enum lacks is refused", sql(
        "CREATE TYPE store_role AS ENUM ('member', 'chair')", "DROP TYPE store_role") + "," + sql(
        "ALTER TABLE store_membership ALTER role TYPE store_role USING role::store_role", "ALTER TABLE store_membership ALTER role TYPE varchar(10)")),
    unsafe("enum to text", "lock", "rewrite; the old code's casts break", sql(
        "ALTER TABLE store_order ALTER mood TYPE text", "ALTER TABLE store_order ALTER mood TYPE store_mood USING mood::store_mood")),
    unsafe("integer to positive integer", "lock", "a CHECK is tested on every row", alter("customer", "points", "PositiveIntegerField(default=0)")),
    unsafe("char to slug field", "lock", "an index and a LIKE index are built", alter("customer", "nickname", 'SlugField(max_length=30, blank=True, default="")')),
    unsafe("widen elements of an array", "lock", "PostgreSQL coerces every element", alter("product", "tags", "Field()").replace(
        "models.Field()", "ArrayField(models.CharField(max_length=40), default=list)")),
    unsafe("collation of an indexed column", "lock", "the index is built anew under ACCESS EXCLUSIVE", alter("customer", "name", 'CharField(max_length=50, db_collation="C")')),
    unsafe("type of a column under a check", "lock", "every row is tested again", sql(
        "ALTER TABLE store_order ALTER channel TYPE varchar(20)", "ALTER TABLE store_order ALTER channel TYPE varchar(10)")),
    unsafe("type of a column in an expression index", "lock", "the index on lower(sku) is built anew", alter("product", "sku", "TextField(unique=True)")),
    unsafe("type of a column of a view", "fails", "a view uses it", alter("order", "total", "BigIntegerField()")),
    unsafe("type of a generated column's source", "fails", "a generated column uses it", alter("product", "price", "DecimalField(max_digits=12, decimal_places=2)")),
    unsafe("number column to foreign key", "lock", "an index is built, every row is tested",
           'migrations.RenameField("product", "supplier_id", "supplier"),'
           'migrations.AlterField("product", "supplier", models.ForeignKey("store.Club", models.SET_NULL, null=True, db_column="supplier"))'),
    unsafe("key to number column", "breaks_old", "club_id is renamed to club", 'migrations.AlterField("membership", "club", models.BigIntegerField())'),
    unsafe("narrow interval", "lock", "rewrite", sql("ALTER TABLE store_event ALTER lasted TYPE interval(0)", "ALTER TABLE store_event ALTER lasted TYPE interval")),
    unsafe("lower timestamp precision", "lock", "rewrite", sql("ALTER TABLE store_event ALTER at TYPE timestamptz(0)", "ALTER TABLE store_event ALTER at TYPE timestamptz")),
    disputed("collation of a bare column", "the catalog only, but sorting changes", "no lock, no error, another order",
             alter("customer", "nickname", 'CharField(max_length=30, blank=True, default="", db_collation="C")')),
)  # fmt: skip
