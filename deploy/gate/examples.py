"""The migrations on the pages of findings: what gets the finding, and the same change without it.

They are of an app `shop` with two models in use: Customer (name, email, which is unique) and Order (note,
total, paid, which may be NULL, state with a database default, customer). Tests judge them, and run what is
safe.
"""

from __future__ import annotations

import textwrap

_CONTRACT = '@phase("contract")\n'


def migration(
    name: str,
    *operations: str,
    after: str = "0001_initial",
    atomic: bool = True,
    contract: bool = False,
    before: str = "",
) -> str:
    """The file of a migration of app `shop`; `before` is code that stands before its class."""
    body = ",\n".join(textwrap.dedent(one).strip() for one in operations)
    imports = [
        line
        for word, line in (
            ("AddConstraintNotValid", "from django.contrib.postgres.operations import AddConstraintNotValid"),
            ("AddIndexConcurrently", "from django.contrib.postgres.operations import AddIndexConcurrently"),
            ("ValidateConstraint", "from django.contrib.postgres.operations import ValidateConstraint"),
            ("RandomUUID", "from django.contrib.postgres.functions import RandomUUID"),
        )
        if word in body
    ]
    imports.append("from django.db import migrations, models")
    if contract:
        imports.append("from deploy.gate import phase")
    text = f"# {name}.py\n" + "\n".join(imports) + "\n\n\n"
    if before:
        text += textwrap.dedent(before).strip() + "\n\n\n"
    return (
        f"{text}{_CONTRACT if contract else ''}class Migration(migrations.Migration):\n"
        f"{'' if atomic else '    atomic = False' + chr(10)}"
        f'    dependencies = [("shop", "{after}")]\n'
        f"    operations = [\n{textwrap.indent(body, ' ' * 8)},\n    ]\n"
    )


def files(*parts: str) -> str:
    return "\n\n".join(parts)


_MEMO = 'migrations.AddField("order", "memo", models.TextField(null=True))'
_DROP_PAID = 'migrations.RemoveField("order", "paid")'

SPLIT = migration("0002_memo", 'migrations.AddField("order", "memo", models.TextField(default="x"))')
SPLIT_SAFE = migration(
    "0002_memo", 'migrations.AddField("order", "memo", models.TextField(default="x", db_default="x"))'
)
CONTRACT = migration("0002_paid", _DROP_PAID)
CONTRACT_SAFE = migration("0002_paid", _DROP_PAID, contract=True)
ORDER = files(
    migration("0002_paid", _DROP_PAID, contract=True), migration("0003_memo", _MEMO, after="0002_paid")
)
ORDER_SAFE = files(
    migration("0002_memo", _MEMO), migration("0003_paid", _DROP_PAID, after="0002_memo", contract=True)
)
NULLS_APPEAR = migration(
    "0002_total", 'migrations.AlterField("order", "total", models.IntegerField(null=True))'
)

INDEX = migration(
    "0002_index", 'migrations.AddIndex("order", models.Index(fields=["total"], name="order_total_idx"))'
)
INDEX_SAFE = migration(
    "0002_index",
    'AddIndexConcurrently("order", models.Index(fields=["total"], name="order_total_idx"))',
    atomic=False,
)
CONCURRENTLY = INDEX_SAFE.replace("    atomic = False\n", "")

_REFERENCE = """
    migrations.RunSQL(
        "ALTER TABLE shop_order ADD CONSTRAINT order_total_fk"
        " FOREIGN KEY (total) REFERENCES shop_customer (id){}",
        "ALTER TABLE shop_order DROP CONSTRAINT order_total_fk",
    )
"""
FOREIGN_KEY = migration("0002_reference", _REFERENCE.format(""), contract=True)
FOREIGN_KEY_SAFE = files(
    migration("0002_reference", _REFERENCE.format(" NOT VALID"), contract=True),
    migration(
        "0003_validate",
        """
        migrations.RunSQL(
            "ALTER TABLE shop_order VALIDATE CONSTRAINT order_total_fk", migrations.RunSQL.noop
        )
        """,
        after="0002_reference",
        contract=True,
    ),
)

_POSITIVE = """
    {}(
        "order", models.CheckConstraint(condition=models.Q(total__gt=0), name="order_total_positive")
    )
"""
CHECK = migration("0002_positive", _POSITIVE.format("migrations.AddConstraint"), contract=True)
CHECK_SAFE = files(
    migration("0002_positive", _POSITIVE.format("AddConstraintNotValid"), contract=True),
    migration(
        "0003_validate",
        'ValidateConstraint("order", "order_total_positive")',
        after="0002_positive",
        contract=True,
    ),
)
VALIDATED_TOO_SOON = migration(
    "0002_positive",
    _POSITIVE.format("AddConstraintNotValid"),
    'ValidateConstraint("order", "order_total_positive")',
    contract=True,
)

NOT_NULL = migration(
    "0002_paid", 'migrations.AlterField("order", "paid", models.BooleanField())', contract=True
)
NOT_NULL_SAFE = files(
    migration(
        "0002_paid_known",
        """
        AddConstraintNotValid(
            "order", models.CheckConstraint(condition=models.Q(paid__isnull=False), name="order_paid_known")
        )
        """,
        contract=True,
    ),
    migration(
        "0003_validate",
        'ValidateConstraint("order", "order_paid_known")',
        after="0002_paid_known",
        contract=True,
    ),
    migration(
        "0004_not_null",
        'migrations.AlterField("order", "paid", models.BooleanField())',
        'migrations.RemoveConstraint("order", "order_paid_known")',
        after="0003_validate",
        contract=True,
    ),
)

UNIQUE = migration(
    "0002_unique", 'migrations.AlterField("order", "total", models.IntegerField(unique=True))', contract=True
)
UNIQUE_SAFE = files(
    migration(
        "0002_index",
        """
        migrations.RunSQL(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS order_total_key ON shop_order (total)",
            "DROP INDEX CONCURRENTLY IF EXISTS order_total_key",
        )
        """,
        atomic=False,
        contract=True,
    ),
    migration(
        "0003_unique",
        """
        migrations.RunSQL(
            "ALTER TABLE shop_order ADD CONSTRAINT order_total_key UNIQUE USING INDEX order_total_key",
            "ALTER TABLE shop_order DROP CONSTRAINT order_total_key",
            [migrations.AlterField("order", "total", models.IntegerField(unique=True))],
        )
        """,
        after="0002_index",
        contract=True,
    ),
)

TYPE = migration("0002_total", 'migrations.AlterField("order", "total", models.BigIntegerField())')
TYPE_SAFE = migration(
    "0002_total", 'migrations.AddField("order", "total_new", models.BigIntegerField(null=True))'
)
COLLATION = migration(
    "0002_email",
    """
    migrations.AlterField(
        "customer", "email", models.CharField(max_length=100, unique=True, db_collation="C")
    )
    """,
)
COLLATION_SAFE = migration(
    "0002_email",
    """
    migrations.AddField(
        "customer", "email_new", models.CharField(max_length=100, null=True, db_collation="C")
    )
    """,
)
COLUMN = migration(
    "0002_key", 'migrations.AddField("order", "key", models.UUIDField(db_default=RandomUUID()))'
)
COLUMN_SAFE = files(
    migration("0002_key", 'migrations.AddField("order", "key", models.UUIDField(null=True))'),
    migration(
        "0003_default",
        'migrations.AlterField("order", "key", models.UUIDField(null=True, db_default=RandomUUID()))',
        after="0002_key",
    ),
)
JSON = migration(
    "0002_data",
    """
    migrations.RunSQL(
        "ALTER TABLE shop_order ADD COLUMN data json", "ALTER TABLE shop_order DROP COLUMN data"
    )
    """,
)
JSON_SAFE = migration("0002_data", 'migrations.AddField("order", "data", models.JSONField(null=True))')
FORGOTTEN = migration(
    "0002_total",
    'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "total")])',
)
FORGOTTEN_SAFE = files(
    migration("0002_total", 'migrations.AlterField("order", "total", models.IntegerField(null=True))'),
    migration(
        "0003_forget",
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "total")])',
        after="0002_total",
    ),
)
