"""What is wrong with the Python of a data migration, read from its source: nothing is run."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.migrations.operations import CreateModel, RenameField, RunPython
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import ManyToManyField, Model, UniqueConstraint

from deploy.reporting.findings import Finding, FindingType

from .. import python_examples
from ..findings_of_locks import UNBATCHED
from ..graph.function_source import source_of
from ..graph.offline import Collected, flattened
from ..graph.plan import is_own
from ..graph.row_writes import Write, direct_models, models_asked_for, writes_of
from ..graph.source import place_in
from .catalog import Catalog

if TYPE_CHECKING:
    from django.db.migrations.state import ModelState

ROW_BY_ROW = FindingType(
    "deploy.M113",
    "warning",
    "{function} writes the rows of {model} {how} in one transaction: each stays locked until the last one is "
    "done.",
    "Do it in batches, each of them a transaction of its own:\n{code}",
    why="Writers of a locked row wait until the migration commits; how long that is, grows with the table.",
    lock="ROW EXCLUSIVE on the table, and every row that is changed, until the migration commits.",
    depends="The number of rows.",
    danger=python_examples.ROW_BY_ROW,
    safe=python_examples.IN_BATCHES,
    source="https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS",
)
DIRECT_MODEL = FindingType(
    "deploy.M114",
    "warning",
    "{function} uses {model} as today's code has it, not as it is at this point of the history.",
    "{code}",
    why="A field that is added later is in today's model and not yet in the table: on an empty database the "
    "migration fails. Methods and managers of the class change too, and with them what the migration does.",
    depends="What later migrations do to the model.",
    danger=python_examples.DIRECT_MODEL,
    safe=python_examples.HISTORICAL_MODEL,
    source="https://docs.djangoproject.com/en/stable/topics/migrations/#historical-models",
)
WRONG_ARGUMENTS = FindingType(
    "deploy.M115",
    "error",
    "RunPython calls {function} with (apps, schema_editor), and it is {function}{signature}.",
    "def {function}(apps, schema_editor):",
    danger=python_examples.WRONG_ARGUMENTS,
    safe=python_examples.RIGHT_ARGUMENTS,
    source="https://docs.djangoproject.com/en/stable/ref/migration-operations/#runpython",
)


NO_SUCH_MODEL = FindingType(
    "deploy.M116",
    "error",
    "{function} asks for the model {model}, which is not there at this point of the history: LookupError.",
    "Correct the name, or let this migration depend on the one that makes the model.",
    danger=python_examples.NO_SUCH_MODEL,
    safe=python_examples.HISTORICAL_MODEL,
    source="https://docs.djangoproject.com/en/stable/topics/migrations/#historical-models",
)


def data_findings(
    collected: Collected, before: ProjectState, catalog: Catalog, vendor: str
) -> Iterator[Finding]:
    """The findings of a migration's RunPython operations.

    `before` is the state of the models before it; `catalog` the schema after it: tables that the run itself
    creates are locked by nobody else. What is written into tables of installed packages is not looked at, and
    nothing that is written on an engine without row locks (SQLite).
    """
    for operation in flattened(collected.migration.operations):
        if not isinstance(operation, RunPython):
            continue
        where = place_in(collected.key, collected.migration, operation)
        atomic = operation.atomic if operation.atomic is not None else collected.migration.atomic
        for function in (operation.code, operation.reverse_code):
            if function is None or function is RunPython.noop:
                continue
            yield from _arguments(function, where)
            source = source_of(function)
            if source is None:
                continue
            name = getattr(source.definition, "name", "lambda")
            for label in direct_models(source, _class_of):
                yield _direct(name, label, where)
            if function is operation.reverse_code:
                continue  # going back is done by hand, and seldom beside traffic
            for label in models_asked_for(source):
                if _is_missing(collected, before, label):
                    yield NO_SUCH_MODEL(function=name, model=label, place=where)
            writes = writes_of(source, lambda model, fields: _is_unique(before, model, fields), _class_of)
            for write in writes if vendor == "postgresql" else ():
                if found := _write(write, name, before, catalog, where, atomic=bool(atomic)):
                    yield found


def _arguments(function: object, where: str) -> Iterator[Finding]:
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, None)
    except TypeError:
        name = getattr(function, "__name__", "its function")
        yield WRONG_ARGUMENTS(function=name, signature=signature, place=where)


def _direct(function: str, label: str, where: str) -> Finding:
    app_label, _, model = label.partition(".")
    code = f"{model or 'Model'} = apps.get_model({app_label!r}, {model!r})   # in {function}, with its `apps`"
    return DIRECT_MODEL(function=function, model=label, code=code, place=where)


def _write(
    write: Write, function: str, before: ProjectState, catalog: Catalog, where: str, *, atomic: bool
) -> Finding | None:
    model = _model(before, write.rows.model)
    app_label = write.rows.model.partition(".")[0]
    if (write.in_loop and not atomic) or (app_label != write.rows.model and not is_own(app_label)):
        return None
    table = _table(write.rows.model, model)
    if catalog.is_new(table):
        return None
    code = _batches(function, write)
    if write.in_loop:
        how = "in batches, but all" if write.in_batches else "one by one"
        return ROW_BY_ROW(function=function, model=write.rows.model, how=how, code=code, place=where)
    return UNBATCHED(verb=f"{function}: {write.verb}", table=table, code=code, place=where)


def _is_missing(collected: Collected, before: ProjectState, label: str) -> bool:
    """Only of apps that the state has: what an unmigrated app or one that is not installed has is unknown."""
    app_label, _, name = label.partition(".")
    if not name or not any(app == app_label for app, _ in before.models) or app_label in before.real_apps:
        return False
    operations = list(_all_operations(collected.migration.operations))
    models = {str(getattr(one, key, "")).lower() for one in operations for key in ("name", "new_name")}
    models |= {model for app, model in before.models if app == app_label}
    return name.lower() not in models | set(_automatic(models, operations, before, app_label))


def _automatic(
    models: Collection[str], operations: Sequence[Operation], before: ProjectState, app_label: str
) -> Iterator[str]:
    """What Django calls the models that it makes for many-to-many fields: `order_tags` of Order.tags.

    `models` may have got their field under another name; then more is taken to be there than is.
    """
    fields = [
        pair for (app, _), state in before.models.items() if app == app_label for pair in state.fields.items()
    ]
    for one in operations:
        made = getattr(one, "fields", None)
        fields += made if isinstance(one, CreateModel) and made else ()
        if field := getattr(one, "field", None):
            fields.append((getattr(one, "name", ""), field))
        if isinstance(one, RenameField):
            fields += [(one.new_name, field) for name, field in fields if name == one.old_name]
    for name, field in fields:
        if isinstance(field, ManyToManyField) and not field.remote_field.through:
            yield from (f"{model}_{name}".lower() for model in models)


def _all_operations(operations: Sequence[Operation]) -> Iterator[Operation]:
    for one in operations:
        yield one
        yield from _all_operations(getattr(one, "state_operations", None) or ())


def _model(before: ProjectState, label: str) -> ModelState | None:
    app_label, _, name = label.partition(".")
    return before.models.get((app_label, name.lower()))


def _table(label: str, model: ModelState | None) -> str:
    if model is not None and model.options.get("db_table"):
        return str(model.options["db_table"])
    return label.replace(".", "_").lower() if "." in label else label


def _is_unique(before: ProjectState, label: str, fields: frozenset[str]) -> bool:
    """A row, or few, have given values of `fields`: they hold a unique or primary key."""
    model = _model(before, label)
    if model is None:
        return False
    single = {name for name, field in model.fields.items() if field.unique or field.primary_key}
    together = [set(names) for names in model.options.get("unique_together") or ()]
    together += [
        set(one.fields)
        for one in model.options.get("constraints", ())
        if isinstance(one, UniqueConstraint) and one.fields and one.condition is None
    ]
    plain = {name.removesuffix("_id") if name not in model.fields else name for name in fields}
    return bool(plain & single) or any(names <= plain for names in together)


def _class_of(value: object) -> str:
    """The label of a model class of today's code, or of the user model for what finds it; else nothing."""
    if value is get_user_model:
        return str(settings.AUTH_USER_MODEL)
    options = getattr(value, "_meta", None) if isinstance(value, type) and issubclass(value, Model) else None
    return str(options.label) if options and not options.abstract and options.apps is apps else ""


def _batches(function: str, write: Write) -> str:
    """The same work in batches of 1000, with the names at hand."""
    app_label, _, model = write.rows.model.partition(".")
    named = f"{app_label!r}, {model!r}" if model else "…"
    does = "delete()" if write.verb == "DELETE" else "update(…)"
    return (
        f"def {function if function != 'lambda' else 'forwards'}(apps, schema_editor):\n"
        f"    rows = apps.get_model({named}).objects.using(schema_editor.connection.alias)\n"
        "    last = 0\n"
        "    while keys := "
        "list(rows.filter(pk__gt=last).order_by('pk').values_list('pk', flat=True)[:1000]):\n"
        f"        rows.filter(pk__in=keys).{does}\n"
        "        last = keys[-1]\n\n\n"
        "class Migration(migrations.Migration):\n    atomic = False"
    )
