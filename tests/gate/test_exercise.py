"""Rows for models of many kinds, made without a row to copy."""

import pytest

from deploy.gate.graph import plan
from deploy.gate.rehearsing.exercise import exercise, exercised_models, take_samples

from .project import Shop, query, run_all

KINDS = """
    migrations.CreateModel("Place", [
        ("id", models.UUIDField(primary_key=True, default=uuid.uuid4)),
        ("code", models.CharField(max_length=4, unique=True)),
        ("parent", models.ForeignKey("self", models.CASCADE, null=True)),
        ("tags", ArrayField(models.CharField(max_length=9))),
        ("data", models.JSONField()),
        ("size", models.PositiveSmallIntegerField()),
        ("price", models.DecimalField(max_digits=6, decimal_places=2)),
        ("twice", models.GeneratedField(expression=models.F("size") * 2, output_field=models.IntegerField(),
                                        db_persist=True)),
        ("kind", models.CharField(max_length=1, choices=[("a", "A"), ("b", "B")])),
        ("since", models.DateTimeField(db_default=functions.Now())),
    ]),
    migrations.CreateModel("Cafe", [
        ("place_ptr", models.OneToOneField("shop.Place", models.CASCADE, parent_link=True, primary_key=True,
                                           serialize=False, auto_created=True)),
        ("stars", models.IntegerField(unique=True)),
        ("guests", models.ManyToManyField("shop.Customer")),
    ], bases=("shop.Place",)),
    migrations.CreateModel("Badge", [
        ("id", models.BigAutoField(primary_key=True)),
        ("customer", models.OneToOneField("shop.Customer", models.CASCADE)),
        ("cafe", models.ForeignKey("shop.Cafe", models.CASCADE)),
        ("day", models.DateField()),
    ], options={"unique_together": {("cafe", "day")}}),
    migrations.AddConstraint("badge", models.UniqueConstraint(fields=["customer", "cafe"], name="once")),
"""
HEAD = "from django.contrib.postgres.fields import ArrayField"


@pytest.mark.parametrize("with_rows", [False, True])
def test_every_statement_of_every_kind_of_model_works_and_leaves_nothing(
    with_rows: bool, app: Shop, database: str
) -> None:
    app.write("0002_kinds", KINDS, head=HEAD)
    run_all(database)
    if with_rows:
        query(database, "INSERT INTO shop_customer (name, email) VALUES ('a', 'b')")
        query(
            database,
            "INSERT INTO shop_place (id, code, tags, data, size, price, kind)"
            " VALUES (gen_random_uuid(), 'x', '{}', '{}', 1, 1, 'a')",
        )
        query(database, "INSERT INTO shop_cafe SELECT id, 5 FROM shop_place")
        query(
            database, "INSERT INTO shop_badge (customer_id, cafe_id, day) SELECT 1, id, now() FROM shop_place"
        )
    loader = plan.load(database)
    models = exercised_models(plan.state_of(loader, loader.applied_migrations), database)
    assert {model.__name__ for model in models} == {
        "Customer",
        "Order",
        "Place",
        "Cafe",
        "Badge",
        "Cafe_guests",
    }
    assert exercise(models, database, take_samples(models, database)) == {}
    assert query(database, "SELECT count(*) FROM shop_badge") == [(int(with_rows),)]
    query(database, "ALTER TABLE shop_place ADD COLUMN surprise integer NOT NULL DEFAULT 1")
    query(database, "ALTER TABLE shop_place ALTER surprise DROP DEFAULT")
    broken = exercise(models, database, take_samples(models, database))
    assert "INSERT" in broken["shop.Place"]
    assert "surprise" in broken["shop.Place"]["INSERT"].text
