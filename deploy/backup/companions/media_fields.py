"""Which columns name files in the media bucket, and the names in them, sorted as a bucket lists them."""

from __future__ import annotations

import heapq
import posixpath
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.findings import Refusal

_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class FileField:
    """A column that holds names of files; `prefix` stands before each of them in the bucket."""

    label: str
    table: str
    column: str
    prefix: str


class NamesUnknown(ValueError):  # noqa: N818 – reads as the fact it is
    """The names in the database can't be had: `MEDIA_FIELDS` is wrong, or the database is not reachable."""


def file_fields(conf: DeployConf) -> tuple[list[FileField], list[str]]:
    """The fields whose files lie in `conf.backup.media_bucket`, and the labels of those that lie elsewhere.

    Every FileField of a model whose table is in the backed-up database, each column once (an inherited one
    belongs to the model that has the column), and the fields of `MEDIA_FIELDS`, in the default storage.

    Raises:
        NamesUnknown: `MEDIA_FIELDS` names a field that no model has.
    """
    from django.apps import apps
    from django.core.files.storage import default_storage
    from django.db import router
    from django.db.models import FileField as DjangoFileField

    here: list[FileField] = []
    elsewhere: list[str] = []
    named = set(conf.backup.media_fields)
    # include_auto_created: a model that joins two others may have fields of its own.
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        if meta.proxy or meta.swapped or not router.allow_migrate_model(conf.database, model):
            continue
        for field in meta.local_concrete_fields:
            label = f"{meta.label}.{field.name}"
            if isinstance(field, DjangoFileField):
                prefix = _prefix_of(field.storage, conf.backup.media_bucket)
            elif label in named:
                prefix = _prefix_of(default_storage, conf.backup.media_bucket)
            else:
                continue
            named.discard(label)
            if prefix is None:
                elsewhere.append(label)
            else:
                here.append(FileField(label, meta.db_table, str(field.column), prefix))
    if named:
        raise NamesUnknown(f"DEPLOY['MEDIA_FIELDS'] names {sorted(named)[0]}, and no model has that field")
    return here, elsewhere


def _prefix_of(storage: Any, media_bucket: str) -> str | None:
    """What the names of `storage` are below in the bucket at `media_bucket`; None: it is another place."""
    from django.core.files.storage import FileSystemStorage

    scheme, _, rest = media_bucket.partition("://")
    if scheme == "file":
        if not isinstance(storage, FileSystemStorage):
            return None
        root, location = Path(rest).resolve(), Path(storage.location).resolve()
        if not location.is_relative_to(root):
            return None
        below = location.relative_to(root).as_posix()
        return "" if below == "." else f"{below}/"
    # By name, because django-storages need not be installed, and its other backends look the same.
    if not any(kind.__module__ == "storages.backends.gcloud" for kind in storage.__class__.__mro__):
        return None
    bucket, _, _ = rest.partition("/")
    if getattr(storage, "bucket_name", None) != bucket:
        return None
    folder = str(getattr(storage, "location", "") or "").strip("/")
    return f"{folder}/" if folder else ""


@contextmanager
def names_of(
    conf: DeployConf, fields: Sequence[FileField], snapshot: str
) -> Iterator[tuple[Iterator[bytes], list[str]]]:
    """Every file's name in the bucket, in byte order, each once; and the labels of columns not there (yet).

    Memory does not grow with the number of names: the server sorts them and hands them out in pieces.

    Args:
        snapshot: what the dump reads: PostgreSQL's exported snapshot, or the copied SQLite file. Empty: now.

    Raises:
        NamesUnknown: the database cannot be reached. Its driver's errors pass.
    """
    from django.db import connections

    postgresql = connections[conf.database].vendor == "postgresql"
    opened = _postgresql(conf, fields, snapshot) if postgresql else _sqlite(conf, fields, snapshot)
    with opened as (columns, missing):
        yield _distinct(heapq.merge(*columns)), missing


Columns = tuple[list[Iterator[bytes]], list[str]]


@contextmanager
def _postgresql(conf: DeployConf, fields: Sequence[FileField], snapshot: str) -> Iterator[Columns]:
    import psycopg
    from psycopg import sql

    try:
        opened = server.connect(conf.database)
    except Refusal as error:
        raise NamesUnknown(error.findings[0].message.rstrip(".")) from error
    with opened as connection, ExitStack() as cursors:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.autocommit = False
        if snapshot:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        columns, missing = [], []
        for number, field in enumerate(fields):
            table, column = _quoted(conf, field.table), _quoted(conf, field.column)
            row = connection.execute(
                "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
                " AND NOT attisdropped AND quote_ident(attname) = quote_ident(%s)",
                [table, field.column],
            ).fetchone()
            if not row or not row[0]:
                missing.append(field.label)
                continue
            name = f"deploy_media_{number}"
            cursor = cursors.enter_context(connection.cursor(name=name, binary=True))
            cursor.itersize = _ROWS_AT_ONCE
            # As bytes of UTF-8, so that the order is a bucket's, whatever the database's collation is.
            cursor.execute(
                sql.SQL(
                    "SELECT DISTINCT convert_to({column}::text, 'UTF8') FROM {table}"
                    " WHERE {column} IS NOT NULL AND {column}::text <> '' ORDER BY 1"
                ).format(column=sql.SQL(column), table=sql.SQL(table))
            )
            columns.append(_prefixed(field.prefix, cursor))
        yield columns, missing


@contextmanager
def _sqlite(conf: DeployConf, fields: Sequence[FileField], snapshot: str) -> Iterator[Columns]:
    from django.db import connections

    path = snapshot or str(Path(connections[conf.database].settings_dict["NAME"]).resolve())
    # The archive's reader is a thread; only one of them uses the connection at a time.
    with closing(
        sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=5, check_same_thread=False)
    ) as connection:
        columns, missing = [], []
        for field in fields:
            table, column = _quoted(conf, field.table), _quoted(conf, field.column)
            there = connection.execute(
                "SELECT count(*) FROM pragma_table_info(?) WHERE name = ? COLLATE NOCASE",
                [field.table, field.column],
            ).fetchone()
            if not there[0]:
                missing.append(field.label)
                continue
            cursor = connection.execute(
                f"SELECT DISTINCT CAST({column} AS BLOB) FROM {table}"  # noqa: S608 – names can't be bound
                f" WHERE {column} <> '' ORDER BY 1"
            )
            columns.append(_prefixed(field.prefix, cursor))
        yield columns, missing


def _quoted(conf: DeployConf, name: str) -> str:
    """As Django quotes it: a `db_table` may be quoted already, with its schema in it."""
    from django.db import connections

    return connections[conf.database].ops.quote_name(name)


def _prefixed(prefix: str, rows: Any) -> Iterator[bytes]:
    before = prefix.encode()
    for (name,) in rows:
        yield before + bytes(name)


def _distinct(names: Iterator[bytes]) -> Iterator[bytes]:
    last = None
    for name in names:
        if name != last:
            yield name
        last = name


def is_normal(name: bytes) -> bool:
    """A storage opens the file of exactly this name: no `..`, no doubled slash, no backslash in it."""
    text = name.decode(errors="surrogateescape")
    return posixpath.normpath(text) == text and not text.startswith(("/", "../")) and "\\" not in text
