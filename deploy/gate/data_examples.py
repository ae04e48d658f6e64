"""The examples of what is written into RunSQL and RunPython (see `examples`)."""

from __future__ import annotations

from .examples import files, migration

_FILL = """
def fill(apps, schema_editor):
    orders = apps.get_model("shop", "Order").objects.using(schema_editor.connection.alias)
    last = 0
    while keys := list(orders.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:1000]):
        orders.filter(pk__in=keys, paid=None).update(paid=False)
        last = keys[-1]
"""
_NOOP = "migrations.RunPython(fill, migrations.RunPython.noop)"
_MEMO = 'migrations.AddField("order", "memo", models.TextField(null=True))'

UNBATCHED = migration(
    "0002_fill",
    'migrations.RunSQL("UPDATE shop_order SET paid = false WHERE paid IS NULL", migrations.RunSQL.noop)',
)
BATCHED = migration("0002_fill", _NOOP, before=_FILL, atomic=False)
DESTROYS = migration("0002_empty", 'migrations.RunSQL("TRUNCATE shop_order", migrations.RunSQL.noop)')
ROWS_GO = migration(
    "0002_old", 'migrations.RunSQL("DROP TABLE IF EXISTS old_totals", migrations.RunSQL.noop)'
)
COUNTS_ANEW = migration(
    "0002_count", 'migrations.RunSQL("ALTER SEQUENCE shop_order_id_seq RESTART", migrations.RunSQL.noop)'
)
LOCK_TABLE = migration("0002_lock", 'migrations.RunSQL("LOCK TABLE shop_order", migrations.RunSQL.noop)')
NO_REVERSE = migration("0002_fill", "migrations.RunPython(fill)", before=_FILL, atomic=False)
DATA_WITH_DDL = migration("0002_memo", _MEMO, _NOOP, before=_FILL)
DATA_ALONE = files(
    migration("0002_memo", _MEMO),
    migration("0003_fill", _NOOP, before=_FILL, after="0002_memo", atomic=False),
)
COMMIT = migration("0002_commit", 'migrations.RunSQL("COMMIT; BEGIN", migrations.RunSQL.noop)')
GONE = migration("0002_view", 'migrations.RunSQL("DROP VIEW IF EXISTS totals", migrations.RunSQL.noop)')
NO_LIMIT = migration("0002_limit", 'migrations.RunSQL("SET lock_timeout = 0", migrations.RunSQL.noop)')
MISSPELT = migration(
    "0002_memo", 'migrations.RunSQL("ALTER TABLE shop_order AD memo text", migrations.RunSQL.noop)'
)
DROP_INDEX = migration(
    "0002_index", 'migrations.RunSQL("DROP INDEX IF EXISTS order_total_idx", migrations.RunSQL.noop)'
)
DROP_INDEX_SAFE = migration(
    "0002_index",
    'migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS order_total_idx", migrations.RunSQL.noop)',
    atomic=False,
)
_LONG = "an_index_of_the_totals_of_all_orders_whose_name_goes_on_and_on_and_on"
_NAMED = """
    migrations.RunSQL(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS {0} ON shop_order (total)",
        "DROP INDEX CONCURRENTLY IF EXISTS {0}",
    )
"""
LONG_NAME = migration("0002_index", _NAMED.format(_LONG), atomic=False)
SHORT_NAME = migration("0002_index", _NAMED.format("order_total_idx"), atomic=False)
