"""Definitions of views, functions, constraints and the like are compared after a restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy import backup
from deploy.backup.contents import differences
from deploy.backup.engines import engine_of, postgresql_definitions
from deploy.backup.engines.postgresql_definitions import KINDS, LARGE_OBJECTS, normalized
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]

# What the server shows in other words after a restore, or might.
REWRITTEN = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE shop (
    id bigint GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3) PRIMARY KEY,
    status varchar(10) NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'old')),
    code char(3) DEFAULT 'abc' CHECK (code NOT IN ('xxx', 'yyy')),
    n bigint DEFAULT -1, f double precision DEFAULT 0.5, d numeric(8, 2) DEFAULT 1, s smallint DEFAULT 7,
    at timestamptz(3) DEFAULT now() - interval '1 day 2 hours', day date DEFAULT '2026-01-01',
    pause interval day to second(2) DEFAULT '1:00', bits bit varying(5) DEFAULT B'101',
    tags text[] DEFAULT '{a,"b,c"}', names varchar(5)[] DEFAULT ARRAY['x', 'y']::varchar[],
    feeling mood DEFAULT 'ok', data jsonb DEFAULT '{"a": [1, 2]}',
    note text COLLATE "C" DEFAULT 'it''s ::text (not)',
    total numeric GENERATED ALWAYS AS (d * 2 + (1 + s) * 3) STORED,
    CHECK (n BETWEEN -5 AND 10 OR (f > 1 AND NOT (s = 3 OR d <= 2.5))),
    CHECK (note LIKE 'a%' OR note ~ '^b' OR note IS NOT DISTINCT FROM 'c' OR tags @> ARRAY['a']::text[]),
    EXCLUDE USING gist (int8range(n, n + 1) WITH &&) WHERE (n > 0)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX shop_lower ON shop (lower(status), (n + 1) DESC NULLS LAST) INCLUDE (f)
    WHERE status IN ('new', 'old') AND at > '2020-01-01 00:00+00';
CREATE INDEX ON shop USING gin (data jsonb_path_ops);
CREATE VIEW plain AS SELECT s.*, status || code AS both, n::text || 'x', CASE WHEN s.n > 1 THEN 'a' END
    FROM shop s WHERE status IN ('new', 'old') AND code = ANY (ARRAY['abc', 'def']);
CREATE VIEW joined WITH (security_barrier) AS
    SELECT * FROM plain JOIN (SELECT id, count(*) AS c FROM shop GROUP BY id HAVING count(*) > 0) x USING (id)
    LEFT JOIN LATERAL (SELECT max(n) AS m FROM shop b WHERE b.id < x.id) l ON true
    WHERE EXISTS (SELECT 1 FROM shop WHERE (n, s) IN (SELECT 1, 2)) ORDER BY 1 LIMIT 10;
CREATE VIEW listed AS VALUES (1, 'a'::varchar), (2, 'b') UNION ALL SELECT 3, 'c';
CREATE VIEW more AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3)
    SELECT n, extract(epoch FROM now()) AS e, now() AT TIME ZONE 'UTC' AS u, current_user, coalesce(n, 0, 1),
    sum(n) OVER w, row_number() OVER (PARTITION BY n % 2 ORDER BY n), ROW(1, n) = ROW(2, 3) AS same,
    NULL AS nothing,
    substring('abc' FROM 2 FOR 1), trim(both ' ' from ' a '), overlay('abc' placing 'x' from 1),
    (SELECT array_agg(x ORDER BY x DESC) FILTER (WHERE x > 1) FROM (VALUES (1), (2)) v(x)) AS v
    FROM t, generate_series(1, 2) g, unnest(ARRAY[1, 2], ARRAY['a', 'b']) WITH ORDINALITY AS o(a, b, c)
    WINDOW w AS (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
CREATE TABLE parent (a int, b varchar(3)) PARTITION BY LIST (lower(b));
CREATE TABLE part PARTITION OF parent FOR VALUES IN ('a', 'b'); CREATE TABLE rest PARTITION OF parent DEFAULT;
CREATE TABLE kept (a int PRIMARY KEY, at date) PARTITION BY RANGE (a);
CREATE TABLE kept_1 PARTITION OF kept FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE refers (id int, a int REFERENCES kept ON DELETE CASCADE DEFERRABLE);
ALTER TABLE shop RENAME COLUMN f TO g;
CREATE TABLE base (x int, y int DEFAULT 3); CREATE TABLE child (z int) INHERITS (base);
ALTER TABLE base ADD COLUMN w text DEFAULT 'late' NOT NULL;
CREATE FUNCTION old(a int DEFAULT 1 + 2, VARIADIC b varchar[] DEFAULT ARRAY['x']::varchar[])
    RETURNS TABLE (c int)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path TO 'public', "$user" SET work_mem TO '4MB'
    AS $$BEGIN RETURN QUERY SELECT (1); END$$;
CREATE FUNCTION standard(a varchar) RETURNS bool LANGUAGE sql RETURN a IN ('x', 'y') OR (a = 'z');
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER watched BEFORE UPDATE OF status ON shop FOR EACH ROW
    WHEN (OLD.status IN ('new', 'old') AND NEW.n > -1) EXECUTE FUNCTION watch('a', 'b');
ALTER TABLE shop DISABLE TRIGGER watched;
CREATE RULE kept AS ON DELETE TO base WHERE old.x IN (1, 2) DO INSTEAD NOTHING;
CREATE POLICY mine ON shop FOR UPDATE TO public USING (status IN ('new'))
    WITH CHECK (n > -1 OR status IN ('a', 'b'));
CREATE DOMAIN short AS varchar(5) DEFAULT 'x' NOT NULL CHECK (VALUE IN ('x', 'y')) CHECK (length(VALUE) > 0);
CREATE TYPE pair AS (a int, b varchar(3) COLLATE "C"); CREATE TYPE stretch AS RANGE (subtype = float8);
CREATE AGGREGATE most(int) (sfunc = int4larger, stype = int);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM shop WHERE status IN ('new', 'x') WITH NO DATA;
CREATE STATISTICS correlated ON n, s FROM shop;
"""


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, live: str, no_guard: Guard, query: Query) -> Manifest:
    query(REWRITTEN)
    query("SELECT lo_from_bytea(4711, 'large'), lo_from_bytea(4712, 'larger')")
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


def differing(conf: DeployConf, manifest: Manifest, name: str) -> list[str]:
    return [
        found.place or found.message
        for found in differences(manifest, engine_of(conf).contents(name, manifest))
    ]


def restored(conf: DeployConf, bucket: LocalBucket, manifest: Manifest) -> str:
    name, step = backup.scratch_name(conf, "v1"), Step("restore")
    backup.restore_into(conf, bucket, manifest, name=name, step=step)
    assert step.findings == []
    return name


def test_what_the_server_shows_in_other_words_after_a_restore_is_the_same(
    conf: DeployConf, bucket: LocalBucket, live: str, manifest: Manifest
) -> None:
    shown = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'shop_status_check'"
    name = restored(conf, bucket, manifest)

    with server.connect(ALIAS, live) as before, server.connect(ALIAS, name) as after:
        assert before.execute(shown).fetchone() != after.execute(shown).fetchone()
    assert set(manifest.definitions) == {*KINDS, LARGE_OBJECTS}
    assert manifest.definitions["rules"] != manifest.definitions["views"]


CHANGES = {
    "tables": "ALTER TABLE shop SET (fillfactor = 70)",
    "columns": "ALTER TABLE shop ALTER note SET DEFAULT 'it''s ::varchar (not)'",
    "indexes": "DROP INDEX shop_data_idx; CREATE INDEX shop_data_idx ON shop USING gin (data)",
    "constraints": "ALTER TABLE shop DROP CONSTRAINT shop_status_check,"
    " ADD CONSTRAINT shop_status_check CHECK (status IN ('new', 'odd'))",
    "triggers": "ALTER TABLE shop ENABLE TRIGGER watched",
    "views": "CREATE OR REPLACE VIEW listed AS VALUES (1, 'a'::varchar), (2, 'c') UNION ALL SELECT 3, 'c'",
    "rules": "CREATE OR REPLACE RULE kept AS ON DELETE TO base WHERE old.x IN (1, 3) DO INSTEAD NOTHING",
    "policies": "ALTER POLICY mine ON shop USING (true)",
    "functions": "CREATE OR REPLACE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN OLD; END'",
    "types": "ALTER TYPE mood RENAME VALUE 'sad' TO 'bad'",
    "sequences": "ALTER SEQUENCE shop_id_seq CACHE 5",
    "large objects": "SELECT lo_put(4711, 0, 'L')",
}


def test_what_came_back_otherwise_is_named(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, query: Query
) -> None:
    name = restored(conf, bucket, manifest)

    for kind, statement in CHANGES.items():
        before = set(differing(conf, manifest, name))
        query(statement, name)
        assert set(differing(conf, manifest, name)) == before | {kind}
    assert set(CHANGES) == {*KINDS, LARGE_OBJECTS}


def test_a_definition_that_differs_fails_the_proof(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest, no_guard: Guard
) -> None:
    changed = replace(manifest, definitions={**manifest.definitions, "views": "0" * 64})
    bucket.put(changed.manifest_name, changed.to_bytes())
    step = Step("prove")

    backup.prove(conf, bucket, backup.read_manifest(conf, bucket, "latest"), "L2", step=step)

    assert [(found.id, found.level) for found in step.findings] == [("deploy.B124", "error")]
    assert backup.read_manifest(conf, bucket, "latest").damage


def test_older_manifests_and_other_major_versions_are_not_compared(
    conf: DeployConf, bucket: LocalBucket, manifest: Manifest
) -> None:
    wrong = dict.fromkeys(KINDS, "0" * 64)
    elsewhere = replace(manifest, server_version="17.2", definitions=wrong)
    older = manifest.as_dict()
    del older["definitions"]
    name = restored(conf, bucket, elsewhere)

    assert differing(conf, elsewhere, name) == []
    assert Manifest.from_dict(older).definitions == {}
    assert differing(conf, Manifest.from_dict(older), name) == []


@pytest.mark.parametrize("limit", ["number", "size"])
def test_large_objects_beyond_a_limit_are_counted_and_that_is_told(
    conf: DeployConf,
    bucket: LocalBucket,
    live: str,
    no_guard: Guard,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    query("SELECT lo_from_bytea(0, 'large'), lo_from_bytea(0, 'larger')")
    if limit == "number":
        monkeypatch.setattr(postgresql_definitions, "MOST_LARGE_OBJECTS", 1)
    else:
        conf = replace(conf, backup=replace(conf.backup, digest_limit_bytes=10))
    step = Step("backup")
    manifest = backup.create_backup(conf, bucket, release="v1", step=step, guard=no_guard)

    assert [(found.id, found.level) for found in step.findings] == [("deploy.B125", "info")]
    assert LARGE_OBJECTS not in manifest.definitions
    assert manifest.objects[LARGE_OBJECTS] == 2
    restored(conf, bucket, manifest)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "((a)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[]))",
            "((a)::text = ANY (ARRAY[('x'::character varying)::text, ('y'::character varying)::text]))",
        ),
        ("'1'::bit varying(3)", "'1'"),
        ("(now())::timestamp(3) with time zone AS at", "now() AS at"),
        ("'1'::interval day to second(2)", "'1'"),
        ("x::numeric(8,2)[] AND y", "x AND y"),
        ('x::public."My ""Type"""[] = 1', "x=1"),
    ],
)
def test_casts_parentheses_and_white_space_are_no_difference(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'a::text'", "'a'"),
        ("'(a)'", "'a'"),
        ("'a  b'", "'a b'"),
        ('"a b"', "a b"),
        ("a - b", "b - a"),
        ("ab", "a b"),
        ("'it''s'", "'it' 's'"),
        ("a >= 1", "a > 1"),
    ],
)
def test_all_else_is_a_difference(one: str, other: str) -> None:
    assert normalized(one) != normalized(other)
