"""What a restore would lose, counted where that is quick and estimated where it is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.db import connections

from deploy import backup
from deploy.backup import loss
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.report import Step

Guard = Callable[[], None]
Query = Callable[..., list[Any]]


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


def _tables(written: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {row["table"]: (row["added"], row["how"], row["changed"]) for row in written["tables"]}


def test_nothing_was_written(conf: DeployConf, manifest: Manifest) -> None:
    written = backup.written_since(conf, manifest)
    assert (written["rows"], written["how"], written["tables"]) == (0, "counted", [])


def test_rows_that_came_went_and_changed_are_told_by_table(
    conf: DeployConf, manifest: Manifest, query: Query
) -> None:
    query("INSERT INTO animal VALUES ('late'), ('later')")
    query("DELETE FROM dog")
    query("UPDATE \"order\" SET deploy = 'x' WHERE id = 1")
    query("CREATE TABLE new_one AS SELECT generate_series(1, 5) AS n")
    query("INSERT INTO django_migrations VALUES (4, 'shop', '0003_contract')")
    written = backup.written_since(conf, manifest)
    assert (written["rows"], written["how"]) == (7, "counted")
    assert _tables(written) == {
        "public.animal": (2, "counted", True),
        "public.dog": (-2, "counted", True),
        "public.new_one": (5, "counted", True),
        "public.order": (0, "counted", True),
    }


def test_large_tables_are_estimated_and_what_was_never_analyzed_is_unknown(
    conf: DeployConf, manifest: Manifest, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "COUNTED_BYTES", 100_000)
    query("CREATE TABLE unseen (n int, x text) WITH (autovacuum_enabled = off)")
    query("INSERT INTO unseen SELECT n, repeat('x', 500) FROM generate_series(1, 500) AS n")
    query("ALTER TABLE person SET (autovacuum_enabled = off)")
    query("INSERT INTO person (name) SELECT 'x' FROM generate_series(1, 2000)")
    query("ANALYZE person")
    written = backup.written_since(conf, manifest)
    assert (written["rows"], written["how"]) == (2000, "unknown")
    assert _tables(written) == {
        "public.person": (2000, "estimated", None),
        "public.unseen": (None, "unknown", None),
    }


def test_sqlite_is_counted(sqlite_conf: DeployConf, bucket: LocalBucket, no_guard: Guard) -> None:
    made = backup.create_backup(sqlite_conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    path = connections[sqlite_conf.database].settings_dict["NAME"]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE new_one (n)")
        connection.execute("INSERT INTO new_one VALUES (1), (2)")
    written = backup.written_since(sqlite_conf, made)
    assert _tables(written) == {"new_one": (2, "counted", True)}
