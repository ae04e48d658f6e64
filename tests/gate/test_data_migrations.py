"""RunPython as its source tells it: what is written without batches, today's models, wrong arguments."""

# ruff: noqa: E501 – a table reads best with a case to a line

import textwrap

import pytest

from deploy.gate.graph.plan import load, state_of
from deploy.reporting.findings import Finding

from .project import Shop, judged

RUN = "migrations.RunPython(fill, migrations.RunPython.noop)"
GET = 'Order = apps.get_model("shop", "Order")\n'

# name: (body of fill(apps, schema_editor), ids)
ATOMIC = {
    # one statement
    "update of all": (GET + "Order.objects.update(total=1)", {"deploy.M017"}),
    "update of all()": (GET + "Order.objects.all().update(total=1)", {"deploy.M017"}),
    "update by a condition": (GET + "Order.objects.filter(total__isnull=True).update(total=1)", {"deploy.M017"}),
    "delete through using": (
        'rows = apps.get_model("shop.Order").objects.using(schema_editor.connection.alias)\n'
        "rows.exclude(note='x').delete()", {"deploy.M017"}),
    "keywords": (
        'apps.get_model(app_label="shop", model_name="Order")._default_manager.all().update(total=1)', {"deploy.M017"}),
    "in a helper": ("_helper(apps.get_model('shop', 'Order'))", {"deploy.M017"}),
    "under a condition": (GET + "if True:\n    with x:\n        Order.objects.all().delete()", {"deploy.M017"}),
    # row by row
    "save in a loop": (GET + "for o in Order.objects.all():\n    o.total = 1\n    o.save()", {"deploy.M113"}),
    "save in a loop over an iterator": (
        GET + "for o in Order.objects.filter(note='').iterator():\n    o.save(update_fields=['total'])", {"deploy.M113"}),
    "loop over a variable": (GET + "rows = Order.objects.all()\nfor n, o in enumerate(rows):\n    o.save()", {"deploy.M113"}),
    "a statement for each row": (
        GET + "for pk in Order.objects.values_list('pk', flat=True):\n    Order.objects.filter(pk=pk).update(total=1)",
        {"deploy.M113"}),
    "a string cut in the loop": (
        GET + "for o in Order.objects.all():\n    o.note = o.note[:10]\n    o.save()", {"deploy.M113"}),
    "delete in a loop": (GET + "for o in Order.objects.order_by('pk'):\n    o.delete()", {"deploy.M113"}),
    # fine
    "one row": (GET + "Order.objects.filter(pk=1).update(total=1)", set()),
    "rows by a unique field": (
        "apps.get_model('shop', 'Customer').objects.filter(email='a').update(name='b')", set()),
    "a row that was got": (GET + "o = Order.objects.get(note='x')\no.save()\no.delete()", set()),
    "a slice": (GET + "for o in Order.objects.order_by('pk')[:1000]:\n    o.save()", set()),
    # batches, but all in one transaction
    "batches by key": (
        GET + "last = 0\nwhile keys := list(Order.objects.filter(pk__gt=last).values_list('pk', flat=True)[:1000]):\n"
        "    Order.objects.filter(pk__in=keys).update(total=1)\n    last = keys[-1]", {"deploy.M113"}),
    "batches by range": (
        GET + "for start in range(0, 10**6, 1000):\n"
        "    Order.objects.filter(pk__range=(start, start + 999)).update(total=1)", {"deploy.M113"}),
    "an iterator in batches": (
        GET + "from itertools import islice\nrows = Order.objects.iterator(chunk_size=1000)\n"
        "while batch := list(islice(rows, 1000)):\n"
        "    for o in batch:\n        o.total = 1\n    Order.objects.bulk_update(batch, ['total'])", {"deploy.M113"}),
    "bulk_update with a batch size": (
        GET + "rows = []\nfor o in Order.objects.all():\n    o.total = 1\n    rows.append(o)\n"
        "Order.objects.bulk_update(rows, ['total'], batch_size=500)", {"deploy.M113"}),
    "paginator": (
        GET + "from django.core.paginator import Paginator\n"
        "for page in Paginator(Order.objects.order_by('pk'), 500):\n    for o in page:\n        o.save()", {"deploy.M113"}),
    # fine
    "reading": (GET + "for o in Order.objects.all():\n    print(o.note)", set()),
    "a dict": ("d = {}\nd.update(a=1)\nfor x in [1]:\n    d.update(b=2)", set()),
    "creating": (GET + "Order.objects.create(note='x', total=1)", set()),
}  # fmt: skip
HELPER = """
    def _helper(model):
        model.objects.all().update(total=1)
"""


def write(
    app: Shop, body: str, *, atomic: bool = True, head: str = "", operations: str = RUN,
    name: str = "0002_data",
) -> None:  # fmt: skip
    indented = textwrap.indent(body, "    ")
    app.write(
        name, operations, atomic=atomic,
        head=textwrap.dedent(HELPER) + head + f"\ndef fill(apps, schema_editor):\n{indented}\n",
    )  # fmt: skip


def findings(alias: str) -> list[Finding]:
    return [finding for finding in judged(alias).findings if finding.level != "info"]


@pytest.mark.parametrize("case", ATOMIC)
def test_in_a_transaction(case: str, app: Shop, live: str) -> None:
    body, expected = ATOMIC[case]
    write(app, body)
    assert {finding.id for finding in findings(live)} == expected


@pytest.mark.parametrize("case", [case for case in ATOMIC if ATOMIC[case][1] == {"deploy.M113"}])
def test_row_by_row_is_fine_where_each_row_is_its_own_transaction(case: str, app: Shop, live: str) -> None:
    write(app, ATOMIC[case][0], atomic=False)
    assert findings(live) == []


def test_one_statement_holds_all_rows_even_without_a_transaction_around_it(app: Shop, live: str) -> None:
    write(app, ATOMIC["update of all"][0], atomic=False)
    (finding,) = findings(live)
    assert finding.id == "deploy.M017"


def test_an_atomic_operation_is_a_transaction_in_any_migration(app: Shop, live: str) -> None:
    run = "migrations.RunPython(fill, migrations.RunPython.noop, atomic=True)"
    write(app, ATOMIC["save in a loop"][0], atomic=False, operations=run)
    (finding,) = findings(live)
    assert finding.id == "deploy.M113"


def test_the_safe_way_has_the_names_at_hand_and_is_quiet(app: Shop, live: str) -> None:
    write(app, ATOMIC["update of all"][0])
    (finding,) = findings(live)
    assert "on shop_order in one statement" in finding.message
    _, _, code = finding.hint.partition("\n")
    function, _, _ = code.partition("\n\n\n")
    assert "apps.get_model('shop', 'Order')" in function
    app.write("0003_data", RUN, atomic=False, head=function.replace("…", "total=1"))
    assert findings(live) == [finding]


def test_a_table_that_the_run_makes_may_be_filled_at_once(app: Shop, live: str) -> None:
    create = 'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True))])'
    app.write("0002_tag", create)
    head = "def fill(apps, editor): apps.get_model('shop', 'Tag').objects.all().delete()"
    app.write("0003_fill", RUN, head=head)
    assert findings(live) == []


def test_lambdas_and_partials_are_read_too(app: Shop, live: str) -> None:
    one = "migrations.RunPython(lambda apps, editor: apps.get_model('shop', 'Order').objects.update(total=1))"
    app.write("0002_lambda", one)
    head = "from functools import partial\ndef fill(n, apps, editor): apps.get_model('shop', 'Order').objects.update(total=n)"
    app.write("0003_partial", "migrations.RunPython(partial(fill, 1), migrations.RunPython.noop)", head=head)
    found = [finding.place for finding in findings(live) if finding.id == "deploy.M017"]
    assert found == ["shop.0002_lambda", "shop.0003_partial"]


DIRECT = {
    "module": ("from django.contrib.contenttypes.models import ContentType", "ContentType.objects.count()"),
    "module by its name": ("from django.contrib.contenttypes import models as m", "m.ContentType.objects.count()"),
    "in the function": ("", "from django.contrib.contenttypes.models import ContentType\nContentType.objects.count()"),
    "made": ("from django.contrib.contenttypes.models import ContentType", "ContentType(app_label='x').save()"),
    "today's registry": ("from django.apps import apps as today", "today.get_model('contenttypes.ContentType')"),
    "registry in the function": ("", "from django.apps import apps as now\nnow.get_model('contenttypes', 'ContentType')"),
}  # fmt: skip


@pytest.mark.parametrize("case", DIRECT)
def test_a_model_of_todays_code(case: str, app: Shop, live: str) -> None:
    head, body = DIRECT[case]
    write(app, body, head=head)
    (finding,) = findings(live)
    assert (finding.id, finding.level) == ("deploy.M114", "warning")
    assert "contenttypes.ContentType" in finding.message
    assert "ContentType = apps.get_model('contenttypes', 'ContentType')" in finding.hint


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("from django.contrib.contenttypes.models import ContentType", "print(ContentType.__name__)"),
        ("from django.contrib.contenttypes.models import ContentType", "pass"),
        ("from django.apps import apps", 'apps.get_model("shop", "Order").objects.count()'),
        (
            "from django.db import models",
            'apps.get_model("shop", "Order").objects.aggregate(models.Max("total"))',
        ),
    ],
)
def test_what_is_no_use_of_todays_model(app: Shop, live: str, head: str, body: str) -> None:
    write(app, body, head=head)
    assert findings(live) == []


@pytest.mark.parametrize("parameters", ["apps", "", "apps, editor, more", "*, apps, editor"])
def test_a_function_that_runpython_cannot_call(app: Shop, live: str, parameters: str) -> None:
    app.write("0002_data", RUN, head=f"def fill({parameters}): pass")
    (finding,) = findings(live)
    assert (finding.id, finding.level) == ("deploy.M115", "error")
    assert f"fill({parameters})" in finding.message


@pytest.mark.parametrize(
    "parameters", ["apps, editor", "*args", "a, b, c=None", "apps, schema_editor, **more"]
)
def test_a_function_that_runpython_can_call(app: Shop, live: str, parameters: str) -> None:
    app.write("0002_data", RUN, head=f"def fill({parameters}): pass")
    assert findings(live) == []


def test_the_reverse_function_is_called_in_the_same_way(app: Shop, live: str) -> None:
    app.write(
        "0002_data", "migrations.RunPython(fill, back)", head="def fill(a, b): pass\ndef back(apps): pass"
    )
    (finding,) = findings(live)
    assert finding.id == "deploy.M115"
    assert "back(apps)" in finding.message


@pytest.mark.parametrize("label", ['"shop", "Nothing"', '"shop.Nothing"'])
def test_a_model_that_is_not_there(app: Shop, live: str, label: str) -> None:
    write(app, f"apps.get_model({label})")
    (finding,) = findings(live)
    assert (finding.id, finding.level) == ("deploy.M116", "error")
    assert "shop.Nothing" in finding.message


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    apps.get_model('shop', 'Nothing')\nexcept LookupError:\n    pass",
        "apps.get_model('elsewhere', 'Nothing')",
        "apps.get_model('shop', 'Later')",
        "def later(sender, apps, **rest):\n    apps.get_model('shop', 'Nothing')",
    ],
)
def test_a_model_that_may_be_there(app: Shop, live: str, body: str) -> None:
    later = 'migrations.CreateModel("Later", [("id", models.BigAutoField(primary_key=True))])'
    write(app, body, operations=f"{later}, {RUN}")
    assert findings(live) == []


def test_the_model_behind_a_many_to_many_field_is_there(app: Shop, live: str) -> None:
    field = 'migrations.AddField("order", "tags", models.ManyToManyField("shop.Customer"))'
    app.write("0002_tags", field)
    write(app, "apps.get_model('shop', 'Order_tags')\napps.get_model('shop.order_tags')", name="0003_data")
    assert findings(live) == []


def test_the_model_behind_a_many_to_many_field_of_the_same_migration_is_there(app: Shop, live: str) -> None:
    field = 'migrations.AddField("order", "tags", models.ManyToManyField("shop.Customer"))'
    write(app, "apps.get_model('shop', 'Order_tags')", operations=f"{field}, {RUN}")
    assert "deploy.M116" not in {finding.id for finding in findings(live)}


def test_a_many_to_many_field_through_a_model_has_no_other(app: Shop, live: str) -> None:
    through = (
        'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True)),'
        ' ("order", models.ForeignKey("shop.Order", models.CASCADE)),'
        ' ("customer", models.ForeignKey("shop.Customer", models.CASCADE))]),'
        'migrations.AddField("order", "tags", models.ManyToManyField("shop.Customer", through="shop.Tag"))'
    )
    app.write("0002_tags", through)
    write(app, "apps.get_model('shop', 'Order_tags')", name="0003_data")
    assert "deploy.M116" in {finding.id for finding in findings(live)}


def test_code_that_has_no_source_is_passed_over(app: Shop, live: str) -> None:
    head = "fill = eval('lambda apps, editor: None')"
    app.write("0002_data", RUN, head=head)
    assert findings(live) == []
    assert state_of(load(None), [("shop", "0001_initial")]).models
