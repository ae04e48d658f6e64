"""Single tables, brought back beside the live ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import backup
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]
Names = Callable[[str], set[str]]

# Everything that ties a table to others, none of which may come along.
TIES = """
CREATE TABLE customer (id serial PRIMARY KEY, name text UNIQUE, feeling mood,
    twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO customer (name, feeling) SELECT 'c' || n, 'ok' FROM generate_series(1, 300) AS n;
CREATE TABLE purchase (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id int NOT NULL REFERENCES customer, amount numeric CHECK (amount >= 0));
CREATE INDEX purchase_customer ON purchase (customer_id);
INSERT INTO purchase (customer_id, amount) SELECT n, n FROM generate_series(1, 300) AS n;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refused BEFORE DELETE ON purchase FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE purchase ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON purchase USING (customer_id = 1);
"""


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query) -> Manifest:
    """A backup, after which somebody has emptied the tables."""
    query(TIES)
    made = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    query("DELETE FROM dog; ALTER TABLE purchase DISABLE TRIGGER refused; DELETE FROM purchase")
    query("DELETE FROM customer")
    return made


def restored(conf: DeployConf, bucket: LocalBucket, manifest: Manifest, *tables: str) -> dict[str, Any]:
    plan = backup.plan_tables(conf, manifest, tables, beside="look")
    return backup.restore_tables(conf, bucket, manifest, plan, step=Step("restore"))


def test_tables_come_back_into_a_schema_and_nothing_live_is_touched(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, query: Query, databases: Names
) -> None:
    with server.connect(ALIAS) as busy:  # whoever works on the live tables is not waited for, nor waits
        busy.autocommit = False
        busy.execute("LOCK TABLE purchase, customer, dog IN ACCESS EXCLUSIVE MODE")
        facts = restored(
            conf, bucket, manifest, "purchase", "public.customer", "dog", "event_2025", "purchase"
        )

    assert (facts["tables"], facts["rows"], facts["beside"]) == (4, 300 + 300 + 2 + 72, "look")
    assert query("SELECT count(*), sum(amount), max(id) FROM look.purchase") == [(300, 45150, 300)]
    assert query("SELECT count(*), min(twice), min(feeling)::text FROM look.customer") == [(300, 2, "ok")]
    assert query("SELECT * FROM look.dog") == [("rex", "pug")] * 2
    assert query("SELECT count(*) FROM look.event_2025") == [(72,)]
    assert query("SELECT count(*) FROM purchase") == [(0,)]
    kinds = "SELECT contype::text, count(*) FROM pg_constraint WHERE connamespace = 'look'::regnamespace"
    found = dict(query(kinds + " AND contype <> 'n' GROUP BY 1"))
    assert found == {"p": 2, "u": 1, "c": 1}  # and no foreign key
    assert query("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'look.purchase'::regclass") == [(0,)]
    assert query("SELECT count(*) FROM pg_indexes WHERE schemaname = 'look'") == [(4,)]
    query("INSERT INTO look.purchase (customer_id, amount) VALUES (1, 1)")  # its own sequence goes on
    assert query("SELECT max(id) FROM look.purchase") == [(301,)]
    assert databases(conf.scratch_prefix) == set()


def test_what_cannot_be_restored_is_refused_before_anything_is_done(
    conf: DeployConf, manifest: Manifest, query: Query, databases: Names
) -> None:
    query('CREATE SCHEMA taken; CREATE SCHEMA "Upper"')
    twins = replace(manifest, tables={**manifest.tables, "other.dog": 1})
    for tables, schema, found, text in (
        (["purchse"], "look", "B049", "did you mean public.purchase"),
        (["event"], "look", "B049", "event_2025"),
        (["zzz"], "look", "B049", "others"),
        (["dog"], "look", "B049", "other.dog"),
        (["public.dog", "other.dog"], "look", "B049", "same name"),
        (["public.dog"], "taken", "B014", "already"),
        (["public.dog"], "pg_look", "B014", "pg_"),
        (["public.dog"], "Upper", "B014", "small letters"),
        (["public.dog"], 'x"; DROP SCHEMA taken; --', "B014", "small letters"),
        (["public.dog"], "x" * 64, "B014", "small letters"),
    ):
        with pytest.raises(Refusal) as refused:
            backup.plan_tables(conf, twins, tables, beside=schema)
        (finding,) = refused.value.findings
        assert (finding.id, refused.value.exit_code) == (f"deploy.{found}", 2)
        assert text in finding.message
    assert databases(conf.scratch_prefix) == set()


def test_tables_that_differ_do_not_reach_the_live_database(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, query: Query, databases: Names
) -> None:
    wrong = replace(manifest, digests={**manifest.digests, "public.dog": "1"})

    with pytest.raises(Refusal) as refused:
        restored(conf, bucket, wrong, "dog")

    assert (refused.value.findings[0].id, refused.value.exit_code) == ("deploy.B007", 1)
    assert query("SELECT 1 FROM pg_namespace WHERE nspname = 'look'") == []
    assert databases(conf.scratch_prefix) == set()
    restored(conf, bucket, wrong, "animal")  # the others are not asked


def test_a_type_that_the_live_database_lost_stops_it_as_a_whole(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, query: Query
) -> None:
    query("DROP VIEW happy; ALTER TABLE person DROP feeling; DROP TABLE customer CASCADE; DROP TYPE mood")

    with pytest.raises(Refusal) as refused:
        restored(conf, bucket, manifest, "dog", "customer")

    assert (refused.value.findings[0].id, refused.value.exit_code) == ("deploy.B005", 1)
    assert "mood" in refused.value.findings[0].message
    assert query("SELECT 1 FROM pg_namespace WHERE nspname = 'look'") == []


def test_tables_of_a_sqlite_file_come_back_into_a_file_beside_it(
    sqlite_conf: DeployConf, bucket: LocalBucket, no_guard: Guard, tmp_path: Path
) -> None:
    conf, live = sqlite_conf, tmp_path / "data" / "db.sqlite3"
    with closing(sqlite3.connect(live)) as connection:
        connection.executescript(
            """CREATE TABLE "odd "" name" (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b AS (a * 2) STORED);
            INSERT INTO "odd "" name" (a) VALUES (1), (2); CREATE INDEX odd_a ON "odd "" name" (a);
            CREATE TABLE left_out (a);"""
        )
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    before = live.read_bytes()

    plan = backup.plan_tables(conf, manifest, ["t", 'odd " name'], beside="look")
    facts = backup.restore_tables(conf, bucket, manifest, plan, step=Step("restore"))

    assert facts["beside"] == str(live.with_name("db_look.sqlite3"))
    with closing(sqlite3.connect(facts["beside"])) as connection:
        assert connection.execute('SELECT * FROM "odd "" name"').fetchall() == [(1, 1, 2), (2, 2, 4)]
        names = connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY 1")
        assert [row[0] for row in names] == ['odd " name', "odd_a", "t"]
    assert live.read_bytes() == before
    assert {path.name for path in live.parent.iterdir()} == {"db.sqlite3", "db_look.sqlite3"}
    for name in ("look", "../x", "A"):
        with pytest.raises(Refusal) as refused:
            backup.plan_tables(conf, manifest, ["t"], beside=name)
        assert refused.value.findings[0].id == "deploy.B014"
