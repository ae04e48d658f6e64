"""The safe code to paste, with the real names of the migration at hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db import models
from django.db.migrations import operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.serializer import serializer_factory
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter
from django.db.models import CheckConstraint

from ..sql.effect import Effect


def source(value: Any) -> str:
    """`value` (a field, a constraint, an index) as it would stand in a migration."""
    try:
        return str(serializer_factory(value).serialize()[0])
    except Exception as error:  # noqa: BLE001 – a project's own class may not serialise; say its name instead
        return f"{type(value).__name__}(…)  # {type(error).__name__}"


def varied(field: models.Field[Any, Any], **changes: Any) -> str:
    """The field's source with some arguments changed; a value of None takes the argument away."""
    clone = field.clone()
    for name, value in changes.items():
        if name == "db_default":
            clone.db_default = value
        else:
            setattr(clone, name, value)
    return source(clone)


def split_advice(
    operation_list: Sequence[Operation],
    before: ProjectState,
    app_label: str,
    broken: Collection[tuple[str, str]],
) -> str:
    """How to take apart operations that break the code on both sides of a switch.

    `broken` are the fields that the old code fails on, as (model, field) in lower case: what an operation
    does to others is no reason to change it.
    """
    parts = [text for one in operation_list if (text := _advice(one, before, app_label, broken))]
    return "\n".join(dict.fromkeys(parts)) or (
        "# this release: add what the new code needs, nullable or with db_default, in a "
        "migration of its own\n"
        "# this release, last migration of the app: drop or tighten what only the old code used"
    )


def _advice(operation: Operation, before: ProjectState, app: str, broken: Collection[tuple[str, str]]) -> str:
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return split_advice(operation.database_operations, before, app, broken)
    if isinstance(operation, operations.AddField):
        return _add_field(operation)
    if isinstance(operation, operations.RenameField):
        field = _field(before, app, operation.model_name, operation.old_name)
        pinned = varied(field, db_column=_column(field, operation.old_name)) if field else "…"
        return (
            f"# keep the column: on the model, {operation.new_name} = {pinned}\n"
            f"migrations.AlterField({operation.model_name!r}, {operation.old_name!r}, {pinned}),\n"
            f"migrations.RenameField({operation.model_name!r}, {operation.old_name!r}, "
            f"{operation.new_name!r}),"
        )
    if isinstance(operation, operations.RenameModel):
        table = f"{app}_{operation.old_name_lower}"
        return (
            f"# keep the table: on the model, class Meta: db_table = {table!r}\n"
            f"migrations.AlterModelTable({operation.old_name!r}, {table!r}),\n"
            f"migrations.RenameModel({operation.old_name!r}, {operation.new_name!r}),"
        )
    if isinstance(operation, operations.AlterModelTable):
        return f"# leave the table's name as it is: take AlterModelTable({operation.name!r}, …) out"
    if isinstance(operation, operations.RemoveField):
        field = _field(before, app, operation.model_name, operation.name)
        relaxed = varied(field, null=True) if field else "…"
        return (
            "# a migration before this one, so that INSERT works without the column:\n"
            f"migrations.AlterField({operation.model_name!r}, {operation.name!r}, {relaxed}),\n"
            "# then, in a migration after it:\n"
            f"migrations.RemoveField({operation.model_name!r}, {operation.name!r}),"
        )
    if isinstance(operation, operations.AlterField):
        if (operation.model_name_lower, operation.name) not in broken:
            return ""
        new = f"{operation.name}_new"
        nullable = varied(operation.field, null=True)
        return (
            f"# this release: a second column that both releases survive; write both from the new code\n"
            f"migrations.AddField({operation.model_name!r}, {new!r}, {nullable}),\n"
            "# next release, when nothing reads the old one:\n"
            f"migrations.RemoveField({operation.model_name!r}, {operation.name!r}),"
        )
    return ""


def _add_field(operation: operations.AddField) -> str:
    field = operation.field
    default = _database_default(field)
    if default is None:
        return (
            f"migrations.AddField({operation.model_name!r}, {operation.name!r}, {varied(field, null=True)}),"
        )
    written = varied(field, db_default=default)
    return f"migrations.AddField({operation.model_name!r}, {operation.name!r}, {written}),"


def _database_default(field: models.Field[Any, Any]) -> Any:
    """A constant that the database can fill in, or None where only a person knows one."""
    if field.remote_field or field.unique:
        return None
    if field.has_default() and not callable(field.default):
        return field.default
    if isinstance(field, models.DateTimeField):
        from django.db.models.functions import Now

        return Now()
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.CharField | models.TextField | models.FileField):
        return ""
    if isinstance(field, models.DecimalField | models.FloatField | models.IntegerField):
        return 0
    return None


def _field(state: ProjectState, app: str, model: str, name: str) -> models.Field[Any, Any] | None:
    found = state.models.get((app, model.lower()))
    return found.fields.get(name) if found else None


def _column(field: models.Field[Any, Any], name: str) -> str:
    return field.db_column or (f"{name}_id" if field.remote_field else name)


_VARCHAR = "varchar_pattern_ops"
_LIKE = {"TextField": "text_pattern_ops"}


def concurrently(operation: Operation, effect: Effect) -> str:
    """The migration that builds an index beside the traffic."""
    head = (
        "from django.contrib.postgres.operations import AddIndexConcurrently\n"
        "class Migration(migrations.Migration):\n    atomic = False\n    operations = ["
    )
    if isinstance(operation, operations.AddIndex):
        return f"{head}AddIndexConcurrently({operation.model_name!r}, {source(operation.index)})]"
    columns = ", ".join(f"{name!r}" for name in effect.columns)
    name = effect.name[:30] or f"{effect.table}_idx"[:30]
    if effect.name.endswith("_like"):  # Django's second index of a text column, for LIKE 'x%'
        name = f"{effect.name[:25]}_like"
        columns += f"], opclasses=[{_LIKE.get(type(getattr(operation, 'field', None)).__name__, _VARCHAR)!r}"
    unique = "UNIQUE " if effect.unique else ""
    if unique:
        return (
            "class Migration(migrations.Migration):\n    atomic = False\n    operations = "
            "[migrations.RunSQL(\n"
            f"        'CREATE {unique}INDEX CONCURRENTLY {name} ON {effect.table} "
            f"({', '.join(effect.columns)})',\n"
            f"        'DROP INDEX CONCURRENTLY IF EXISTS {name}')]"
        )
    model = getattr(operation, "model_name", effect.table)
    return (
        f"# db_index=False on the field, and Meta.indexes = "
        f"[models.Index(fields=[{columns}], name={name!r})]\n"
        f"{head}AddIndexConcurrently({model!r}, models.Index(fields=[{columns}], name={name!r}))]"
    )


def drop_concurrently(operation: Operation, effect: Effect) -> str:
    """The migration that drops an index beside the traffic."""
    head = "class Migration(migrations.Migration):\n    atomic = False\n    operations = ["
    if isinstance(operation, operations.RemoveIndex):
        return (
            "from django.contrib.postgres.operations import RemoveIndexConcurrently\n"
            f"{head}RemoveIndexConcurrently({operation.model_name!r}, {operation.name!r})]"
        )
    name = effect.name
    return f"{head}migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS {name}', migrations.RunSQL.noop)]"


def new_table(effect: Effect) -> str:
    """An exclusion constraint can be neither NOT VALID nor made from an index."""
    return (
        f"# a new table like {effect.table}, with the constraint from the start; write both from the new\n"
        "# code, move the rows in batches, then let the model take it (db_table) one release later:\n"
        f"migrations.RunSQL('CREATE TABLE {effect.table}_new (LIKE {effect.table} INCLUDING ALL)',\n"
        f"    'DROP TABLE {effect.table}_new'),"
    )


# What the SQL beside it does to the models. An AddField brings its column along: it can't be parted so.
_STATE_ONLY = (operations.AddConstraint, operations.AlterField, operations.AlterUniqueTogether)


def _with_state(sql: str, operation: Operation | None) -> str:
    """The SQL in place of the operation's own, and the operation for Django's state of the models."""
    if not isinstance(operation, _STATE_ONLY):
        return f"{sql},"
    return (
        "migrations.SeparateDatabaseAndState(\n"
        f"    database_operations=[{sql}],\n"
        f"    state_operations=[{_written(operation)}]),"
    )


def _written(operation: Operation) -> str:
    """The operation as it stands in a migration."""
    try:
        text, _ = OperationWriter(operation, indentation=0).serialize()
    except Exception as error:  # noqa: BLE001 – a project's own class may not serialise; say its name instead
        return f"{type(operation).__name__}(…)  # {type(error).__name__}"
    joined = " ".join(line.strip() for line in str(text).splitlines()).rstrip(",")
    return joined.replace("( ", "(").replace(", )", ")")


def not_valid(effect: Effect, definition: str, operation: Operation | None = None) -> str:
    """Two migrations: the constraint unproved, then its proof."""
    if isinstance(operation, operations.AddConstraint) and isinstance(operation.constraint, CheckConstraint):
        return (
            "from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint\n"
            f"AddConstraintNotValid({operation.model_name!r}, {source(operation.constraint)}),\n"
            "# next migration:\n"
            f"ValidateConstraint({operation.model_name!r}, {operation.constraint.name!r}),"
        )
    name = effect.name or f"{effect.table}_{effect.column or 'rule'}_check"
    add = (
        f"migrations.RunSQL('ALTER TABLE {effect.table} ADD CONSTRAINT {name} {definition} NOT VALID',\n"
        f"    'ALTER TABLE {effect.table} DROP CONSTRAINT {name}')"
    )
    return (
        f"{_with_state(add, operation)}\n"
        "# next migration:\n"
        f"migrations.RunSQL('ALTER TABLE {effect.table} VALIDATE CONSTRAINT {name}', migrations.RunSQL.noop),"
    )


def unique_using_index(effect: Effect, operation: Operation | None = None) -> str:
    """A unique constraint from an index that was built concurrently."""
    name = effect.name or f"{effect.table}_{'_'.join(effect.columns)}_uniq"
    columns = ", ".join(effect.columns)
    attach = (
        f"migrations.RunSQL('ALTER TABLE {effect.table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}',\n"
        f"    'ALTER TABLE {effect.table} DROP CONSTRAINT {name}')"
    )
    return (
        "# atomic = False:\n"
        f"migrations.RunSQL('CREATE UNIQUE INDEX CONCURRENTLY {name} ON {effect.table} ({columns})',\n"
        f"    'DROP INDEX CONCURRENTLY IF EXISTS {name}'),\n"
        f"# next migration (going back over it drops the index too: reverse both, or neither):\n"
        f"{_with_state(attach, operation)}"
    )


def batches(table: str, column: str = "") -> str:
    """RunPython that works through a table in batches of 1000."""
    what = f"{column}=…" if column else "…"
    return (
        "class Migration(migrations.Migration):\n    atomic = False\n"
        "def fill(apps, schema_editor):\n"
        f"    rows = apps.get_model(…).objects.using(schema_editor.connection.alias)  # table {table}\n"
        "    last = 0\n"
        "    while keys := "
        "list(rows.filter(pk__gt=last).order_by('pk').values_list('pk', flat=True)[:1000]):\n"
        f"        rows.filter(pk__in=keys).update({what})\n"
        "        last = keys[-1]"
    )
