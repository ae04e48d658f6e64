"""The store on disk and in a template database, and a copy of both for every case."""

from __future__ import annotations

import contextlib
import importlib
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from django.db import DatabaseError, connections
from django.test.utils import override_settings

from deploy.databases.scratch import database_alias

from . import base
from .case import Body, Case

LIVE = ("0001_initial", "0002_retire")
HEAD = """
import uuid
from django.contrib.postgres import indexes, constraints
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.contrib.postgres.operations import (
    AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently, ValidateConstraint,
)
from django.db import migrations, models
from django.db.models import functions
from django.utils import timezone
from ..fields import CidrField, GradeField, MoodField
"""
ALIAS = "corpus"


def module(body: Body, parent: str) -> str:
    """The source of a migration."""
    depends = f'[("store", {parent!r})]' if parent else "[]"
    return (
        f"{HEAD}{textwrap.dedent(body.head)}\n\nclass Migration(migrations.Migration):\n"
        f"    atomic = {body.atomic}\n    dependencies = {depends}\n"
        f"    operations = [\n{textwrap.dedent(body.operations)}\n    ]\n"
    )


def write(folder: Path, bodies: tuple[Body, ...] = ()) -> list[str]:
    """The app's package in `folder` with the live migrations and these; the new ones' names."""
    (folder / "migrations").mkdir(parents=True, exist_ok=True)
    for path in (folder / "__init__.py", folder / "models.py", folder / "migrations" / "__init__.py"):
        path.touch()
    (folder / "fields.py").write_text(base.FIELDS)
    (folder / "apps.py").write_text(
        f"from django.apps import AppConfig\n\n\nclass Store(AppConfig):\n    name = {folder.name!r}\n"
        "    label = 'store'\n"
    )
    names = [*LIVE, *(f"{number:04d}_change" for number in range(3, 3 + len(bodies)))]
    parent = ""
    for name, body in zip(names, (base.FIRST, base.SECOND, *bodies), strict=True):
        (folder / "migrations" / f"{name}.py").write_text(module(body, parent))
        parent = name
    return names[len(LIVE) :]


@contextlib.contextmanager
def installed(root: Path, case: Case | None = None) -> Iterator[list[str]]:
    """The app with the case's migrations, as the only one in INSTALLED_APPS."""
    package = f"store_{uuid.uuid4().hex[:10]}"
    names = write(root / package, case.bodies if case else ())
    importlib.invalidate_caches()
    sys.path.insert(0, str(root))
    try:
        with override_settings(INSTALLED_APPS=[f"{package}.apps.Store"]):
            yield names
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]


def address(database: str = "postgres") -> dict[str, Any]:
    """How psycopg reaches `database` on the suite's server."""
    server = connections.settings["default"]
    found = {"host": server["HOST"], "user": server["USER"], "dbname": database, "autocommit": True}
    found.update({name.lower(): server[name] for name in ("PORT", "PASSWORD") if server.get(name)})
    return found


@contextlib.contextmanager
def template(root: Path) -> Iterator[str]:
    """A database on which the app is live, with its rows; its name."""
    from django.db.migrations.executor import MigrationExecutor

    name = f"corpus_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**address()) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            with database_alias("default", name, alias=ALIAS) as alias, installed(root):
                executor = MigrationExecutor(connections[alias])
                executor.migrate([("store", LIVE[-1])])
                with connections[alias].cursor() as cursor:
                    cursor.execute(base.FILL)
            yield name
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def copy(of: str, alias: str = ALIAS) -> Iterator[str]:
    """A database of one case's own, as a Django alias."""
    name = f"{of}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(**address()) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{of}"')
        try:
            with database_alias("default", name, alias=alias) as alias:
                yield alias
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


_DIGEST = """
SELECT md5(coalesce(string_agg(line, E'\\n' ORDER BY line), '')) FROM (
    SELECT concat_ws(' ', 'class', oid::regclass, relkind, relpersistence, reloptions, relacl, relrowsecurity,
        relforcerowsecurity, relam) AS line FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, format_type(atttypid, atttypmod),
        attnotnull, attidentity, attgenerated, attcollation, attstattarget)
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT concat_ws(' ', 'default', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid))
        FROM pg_attrdef
    UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, contypid::regtype, conname, convalidated,
        pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', 'invalid', indexrelid::regclass) FROM pg_index WHERE NOT indisvalid
    UNION ALL SELECT concat_ws(' ', 'view', viewname, definition) FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', 'function', oid::regprocedure, prosrc, provolatile) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'type', typname, typnotnull) FROM pg_type
        WHERE typnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'label', enumtypid::regtype, enumsortorder, enumlabel) FROM pg_enum
    UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', 'comment', classoid, objoid, description) FROM pg_description
        WHERE objoid >= 16384
    UNION ALL SELECT concat_ws(' ', 'other', nspname) FROM pg_namespace WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'other', stxname) FROM pg_statistic_ext
    UNION ALL SELECT concat_ws(' ', 'other', amname) FROM pg_am
    UNION ALL SELECT concat_ws(' ', 'applied', app, name) FROM django_migrations
) lines
"""
_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    " AND relname <> 'django_migrations'"
)


def digest(alias: str) -> str:
    """Changes when anything that a case could do to schema or rows is left behind."""
    found = []
    with connections[alias].cursor() as cursor:
        cursor.execute(_DIGEST)
        found.append(cursor.fetchone()[0])
        cursor.execute(_TABLES)
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" t')
            found.append(f"{table} {cursor.fetchone()[0]}")
    return " ".join(sorted(found))


class Copies:
    """Copies of a template, used again as long as a case leaves them as they were."""

    def __init__(self, of: str, alias: str) -> None:
        self.of, self.alias = of, alias
        self._open = contextlib.ExitStack()
        self._digest = ""

    @contextlib.contextmanager
    def use(self) -> Iterator[str]:
        if not self._digest:
            self._open.enter_context(copy(self.of, self.alias))
            self._digest = self._digest_or_nothing()
        try:
            yield self.alias
        finally:
            self._undo()
            if self._digest_or_nothing() != self._digest:
                self.close()

    def _undo(self) -> None:
        """Whether it worked is seen by the digest."""
        from django.db.migrations.executor import MigrationExecutor

        with contextlib.suppress(Exception):
            MigrationExecutor(connections[self.alias]).migrate([("store", LIVE[-1])])

    def _digest_or_nothing(self) -> str:
        """Closes the connection too: a case may have changed its session."""
        try:
            return digest(self.alias)
        except DatabaseError:
            return "broken"
        finally:
            connections[self.alias].close()

    def close(self) -> None:
        self._open.close()
        self._digest = ""
