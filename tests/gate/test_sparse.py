"""The SQL that is made from the few models that an operation needs is the SQL that all of them would give."""

import pytest
from django.db.migrations.state import ProjectState

from deploy.gate.graph import offline, plan
from deploy.gate.graph.offline import collect
from deploy.gate.graph.sparse import build
from deploy.gate.graph.walk import snapshot

from .project import Shop

KEY = '("id", models.BigAutoField(primary_key=True))'
SCHEMA = f"""
    migrations.CreateModel("Tag", [("code", models.SlugField(max_length=20, primary_key=True)),
        ("label", models.CharField(max_length=30, unique=True))]),
    migrations.CreateModel("Item", [{KEY}, ("sku", models.IntegerField(unique=True)),
        ("tags", models.ManyToManyField("shop.Tag")),
        ("parent", models.ForeignKey("self", models.CASCADE, null=True)),
        ("order", models.ForeignKey("shop.Order", models.CASCADE, null=True))]),
    migrations.CreateModel("Detail", [
        ("item", models.OneToOneField("shop.Item", models.CASCADE, primary_key=True)),
        ("tag", models.ForeignKey("shop.Tag", models.CASCADE))]),
    migrations.CreateModel("Note", [{KEY}, ("detail", models.ForeignKey("shop.Detail", models.CASCADE)),
        ("by_sku", models.ForeignKey("shop.Item", models.CASCADE, to_field="sku"))]),
    migrations.CreateModel("Special", [("item_ptr", models.OneToOneField("shop.Item", models.CASCADE,
        parent_link=True, auto_created=True, primary_key=True, serialize=False)),
        ("extra", models.TextField())], bases=("shop.item",)),
    migrations.CreateModel("Label", [], options={{"proxy": True}}, bases=("shop.tag",)),
    migrations.CreateModel("Through", [{KEY}, ("tag", models.ForeignKey("shop.Label", models.CASCADE)),
        ("note", models.ForeignKey("shop.Note", models.CASCADE))]),
    migrations.AddField("note", "labels", models.ManyToManyField("shop.Label", through="shop.Through")),
"""
# One operation each, on top of the schema.
OPERATIONS = {
    "key_that_others_refer_to": 'migrations.AlterField("item", "id", models.AutoField(primary_key=True))',
    "key_of_text": 'migrations.AlterField("tag", "code", models.SlugField(max_length=80, primary_key=True))',
    "field_that_others_refer_to": 'migrations.AlterField("item", "sku", models.BigIntegerField(unique=True))',
    "rename_model": 'migrations.RenameModel("Item", "Product")',
    "rename_referred_model": 'migrations.RenameModel("Tag", "Mark")',
    "rename_key": 'migrations.RenameField("tag", "code", "slug")',
    "rename_table": 'migrations.AlterModelTable("item", "things")',
    "remove_many_to_many": 'migrations.RemoveField("item", "tags")',
    "add_many_to_many": 'migrations.AddField("note", "tags", models.ManyToManyField("shop.Tag"))',
    "alter_many_to_many": 'migrations.AlterField("item", "tags", models.ManyToManyField("shop.Label"))',
    "add_reference_to_proxy": 'migrations.AddField("item", "l", '
    'models.ForeignKey("shop.Label", models.CASCADE, null=True))',
    "add_reference_to_child": 'migrations.AddField("note", "s", '
    'models.ForeignKey("shop.Special", models.CASCADE, null=True))',
    "reference_becomes_one_to_one": 'migrations.AlterField("note", "detail", '
    'models.OneToOneField("shop.Detail", models.CASCADE))',
    "delete_with_many_to_many": 'migrations.DeleteModel("Item")',
    "ordered": 'migrations.AlterOrderWithRespectTo("note", "detail")',
    "unique_together": 'migrations.AlterUniqueTogether("note", {("detail", "by_sku")})',
    "constraint": 'migrations.AddConstraint("note", models.CheckConstraint('
    'condition=models.Q(detail__gt=1), name="c"))',
    "concurrently": 'AddIndexConcurrently("item", models.Index(fields=["order"], name="i"))',
    "state_and_database": 'migrations.SeparateDatabaseAndState('
    'database_operations=[migrations.RenameField("item", "sku", "number")], '
    'state_operations=[migrations.RenameField("item", "sku", "number")])',
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_few_models_give_the_sql_of_all(app: Shop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app.write("0002_schema", SCHEMA)
    key = app.write("0003_change", OPERATIONS[name])
    few, state = statements(key)
    assert few
    assert "apps" not in state.__dict__, "all models were built after all"
    monkeypatch.setattr(offline, "needed", lambda *_: None)
    assert sorted(few) == sorted(statements(key)[0])


def statements(key: tuple[str, str]) -> tuple[list[str], ProjectState]:
    loader = plan.load(None)
    state = plan.state_of(loader, {("shop", "0001_initial"), ("shop", "0002_schema")})
    collected = collect(key, loader.graph.nodes[key], state, "default")
    assert collected.unknown == collected.broken == ()
    return [one.sql for one in collected.statements], state


def test_models_are_built_once_while_they_stay_as_they_are(app: Shop) -> None:
    key = app.write("0002_add", 'migrations.AddField("customer", "a", models.IntegerField(null=True))')
    loader = plan.load(None)
    state = plan.state_of(loader, {("shop", "0001_initial")})
    before = snapshot(state)
    built = build(state, [("shop", "order")])
    customer = build(state, [("shop", "customer")])
    collect(key, loader.graph.nodes[key], state, "default")
    assert build(state, [("shop", "order")]) is built  # it refers to the key of customer, which is the same
    assert build(state, [("shop", "customer")]) is not customer
    assert build(before, [("shop", "customer")]) is customer


def test_what_leads_nowhere_is_left_out_by_name(app: Shop) -> None:
    app.write(
        "0002_nowhere",
        f"""
        migrations.CreateModel("Lost", [{KEY}, ("to", models.ForeignKey("gone.Away", models.CASCADE))]),
        migrations.CreateModel("Kid", [("x", models.IntegerField())], bases=("gone.Parent",)),
    """,
    )
    state = plan.state_of(plan.load(None), {("shop", "0001_initial"), ("shop", "0002_nowhere")})
    built = build(state, [("shop", "lost"), ("shop", "kid"), ("shop", "customer")])
    assert sorted(model._meta.label for model in built.models()) == ["shop.Customer", "shop.Lost"]
    assert sorted(name for name, _ in built.lost) == ["shop.Kid", "shop.Lost.to"]
