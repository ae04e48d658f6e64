"""The examples of data migrations, and of what a migration declares of itself (see `examples`)."""

from __future__ import annotations

from .examples import migration

_RUN = "migrations.RunPython(fill, migrations.RunPython.noop)"
_MEMO = 'migrations.AddField("order", "memo", models.TextField(null=True))'
_DROP = 'migrations.RemoveField("order", "paid")'
_IMPORTS_MODEL = """
from django.contrib.contenttypes.models import ContentType


def fill(apps, schema_editor):
    ContentType.objects.using(schema_editor.connection.alias).filter(pk=0).count()
"""
_ASKS_FOR_MODEL = """
def fill(apps, schema_editor):
    orders = apps.get_model("shop", "Order").objects.using(schema_editor.connection.alias)
    orders.filter(pk=1).update(paid=True)
"""
_BATCHES = """
def fill(apps, schema_editor):
    orders = apps.get_model("shop", "Order").objects.using(schema_editor.connection.alias)
    last = 0
    while keys := list(orders.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:1000]):
        orders.filter(pk__in=keys, paid=None).update(paid=False)
        last = keys[-1]
"""

ROW_BY_ROW = migration(
    "0002_fill",
    _RUN,
    before="""
def fill(apps, schema_editor):
    for order in apps.get_model("shop", "Order").objects.filter(paid=None):
        order.paid = False
        order.save()
""",
)
IN_BATCHES = migration("0002_fill", _RUN, before=_BATCHES, atomic=False)
DIRECT_MODEL = migration("0002_fill", _RUN, before=_IMPORTS_MODEL)
HISTORICAL_MODEL = migration("0002_fill", _RUN, before=_ASKS_FOR_MODEL)
WRONG_ARGUMENTS = migration("0002_fill", _RUN, before="\ndef fill(apps):\n    pass\n")
RIGHT_ARGUMENTS = migration("0002_fill", _RUN, before="\ndef fill(apps, schema_editor):\n    pass\n")
NO_SUCH_MODEL = migration("0002_fill", _RUN, before=_ASKS_FOR_MODEL.replace('"Order"', '"Purchase"'))


UNUSABLE_PHASE = migration("0002_paid", _DROP, contract=True).replace('"contract"', '"later"')
USABLE_PHASE = migration("0002_paid", _DROP, contract=True)
NOT_EXPAND = migration("0002_paid", _DROP, contract=True).replace('"contract"', '"expand"')
NOT_CONTRACT = migration("0002_memo", _MEMO, contract=True)
EXPAND = migration("0002_memo", _MEMO)
