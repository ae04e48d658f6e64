"""SQL as effects: what PostgreSQL's grammar says, whatever the spelling."""

import pytest
from django.db import connection

from deploy.gate.sql.effects import effects, statement_count
from deploy.gate.sql.expressions import same_text
from deploy.gate.sql.volatility import FUNCTIONS, is_builtin, is_volatile_function

# statement: what of its effects must be so
READ = {
    "create  index -- c\n i on public.t (a)": ("create_index", {"name": "i", "table": "t"}),
    'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I" ON ONLY "Shop"."T" (lower(a), b) WHERE c > 0': (
        "create_index",
        {"name": "I", "table": "T", "columns": ("b",), "mentions": ("a",), "predicate": ("c",),
         "unique": True, "concurrently": True, "new": "((lower(a)), b) where c > 0"},
    ),
    "ALTER TABLE t ADD x int": ("add_column", {"new": "integer", "default": None, "not_null": False}),
    "ALTER TABLE t ADD x timestamptz DEFAULT (now() + interval '1 d')": ("add_column", {"volatile": False}),
    "ALTER TABLE t ADD x uuid DEFAULT gen_random_uuid()": ("add_column", {"volatile": True}),
    "ALTER TABLE t ADD x int DEFAULT my_own()": ("add_column", {"calls": ("my_own",)}),
    "ALTER TABLE t ADD x text DEFAULT 'gen_random_uuid()'": ("add_column", {"volatile": False}),
    "ALTER TABLE t ADD x int DEFAULT NULL::int": ("add_column", {"default": None}),
    "ALTER TABLE t ADD x bigserial": ("add_column", {"new": "bigint", "identity": True, "not_null": True}),
    "ALTER TABLE t ADD x int GENERATED ALWAYS AS (a * 2) VIRTUAL": ("add_column", {"generated": "virtual"}),
    "ALTER TABLE t ADD x int GENERATED ALWAYS AS (a * 2) STORED": ("add_column", {"generated": "stored"}),
    "ALTER TABLE t ALTER a TYPE numeric(10, 2)": ("set_type", {"new": "numeric(10,2)", "computed": False}),
    "ALTER TABLE t ALTER a TYPE varchar(9)[] USING a::varchar(9)[]": (
        "set_type", {"new": "varchar(9)[]", "computed": False}),
    "ALTER TABLE t ALTER a TYPE text USING upper(a)": ("set_type", {"computed": True}),
    'ALTER TABLE t ALTER a TYPE text COLLATE "C"': ("set_type", {"collation": "C"}),
    "ALTER TABLE t ALTER a TYPE timestamp(3) with time zone": (
        "set_type", {"new": "timestamp with time zone(3)"}),
    "ALTER TABLE t ADD CONSTRAINT c CHECK ((a > 0)) NOT VALID": (
        "add_check", {"new": "a > 0", "columns": ("a",), "valid": False, "name": "c"}),
    "ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID": ("add_not_null", {"column": "a", "valid": False}),
    "ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i": ("add_unique", {"using_index": True, "new": "i"}),
    "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES q NOT VALID": ("add_fk", {"new": "q", "valid": False}),
    "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES q (id)": ("add_fk", {"columns": ("a",), "valid": True}),
    "ALTER TABLE t DETACH PARTITION p CONCURRENTLY": ("detach", {"name": "p", "concurrently": True}),
    "ALTER TABLE t SET UNLOGGED": ("rewrite", {"table": "t"}),
    "ALTER TABLE t DROP COLUMN a CASCADE": ("drop_column", {"cascade": True}),
    "UPDATE t SET a = 1 WHERE id = 7 AND b IS NULL": ("update", {"columns": ("id",), "batched": False}),
    "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t LIMIT 100)": ("update", {"batched": True}),
    "DELETE FROM t WHERE id BETWEEN 1 AND 9": ("delete", {"batched": True}),
    "WITH x AS (DELETE FROM t RETURNING *) SELECT count(*) FROM x": ("delete", {"table": "t"}),
    "INSERT INTO t SELECT * FROM q": ("insert", {"table": "t"}),
    "INSERT INTO t SELECT * FROM q ON CONFLICT (id) DO UPDATE SET a = 1": ("update", {"table": "t"}),
    "SELECT * FROM t FOR UPDATE": ("update", {"table": "t", "batched": False}),
    "SELECT * FROM t WHERE id = 3 FOR NO KEY UPDATE": ("update", {"columns": ("id",)}),
    "LOCK t IN SHARE MODE": ("lock", {"new": "SHARE"}),
    "VACUUM (FULL, ANALYZE) t": ("vacuum_full", {"table": "t"}),
    "VACUUM (FULL false) t": ("vacuum", {"table": "t"}),
    "REINDEX (CONCURRENTLY) TABLE t": ("reindex", {"concurrently": True}),
    "DROP TYPE mood CASCADE": ("truncate", {"verb": "DROP TYPE mood CASCADE"}),
    "DROP TABLE IF EXISTS a.t": ("drop_table", {"table": "t"}),
    "ALTER TYPE mood RENAME VALUE 'a' TO 'b'": ("gone", {"name": "mood"}),
    "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()": ("opaque", {"table": "t"}),
    "SELECT tidy_up(7)": ("opaque", {}),
    "DO $x$BEGIN EXECUTE 'DROP TABLE t'; END$x$": ("drop_table", {"table": "t"}),
    "SELECT setval('a.s', 9)": ("setval", {"name": "s"}),
    "ALTER SEQUENCE s RESTART WITH 9": ("restart", {"name": "s"}),
    "ALTER SEQUENCE s CACHE 9": ("other", {"name": "s"}),
    "CREATE SEQUENCE s": ("create_sequence", {"name": "s"}),
    "SET SESSION statement_timeout = 0": ("no_time_limit", {}),
    "DO LANGUAGE plpython3u $$pass$$": ("opaque", {}),
    "ALTER TABLE t ADD COLUMN": ("unreadable", {}),
}  # fmt: skip


@pytest.mark.parametrize("sql", READ)
def test_reads(sql: str) -> None:
    kind, expected = READ[sql]
    (first, *_) = [effect for effect in effects(sql) if effect.kind == kind]
    assert {name: getattr(first, name) for name in expected} == expected


@pytest.mark.parametrize(
    "sql",
    ["", "-- only a comment", "SELECT max(id) FROM t", "INSERT INTO t VALUES (1)",
     "COMMENT ON TABLE t IS 'DROP TABLE t'", "ANALYZE t", "GRANT SELECT ON t TO r",
     "SET CONSTRAINTS ALL IMMEDIATE"],
)  # fmt: skip
def test_sees_nothing_in(sql: str) -> None:
    assert effects(sql) == []


def test_a_column_brings_its_constraints() -> None:
    kinds = [(e.kind, e.valid) for e in effects("ALTER TABLE t ADD x int UNIQUE CHECK (x > 0) REFERENCES q")]
    # The foreign key of a column that is NULL everywhere needs no scan; its check is made all the same.
    assert kinds == [("add_column", True), ("add_unique", True), ("add_check", True), ("add_fk", False)]


def test_reads_what_waits_for_parameters() -> None:
    (effect,) = effects("UPDATE t SET a = %s WHERE b LIKE '%%x' AND c = %(c)s")
    assert effect.kind == "update"


def test_every_statement_of_a_script_counts() -> None:
    script = "ALTER TABLE t ADD a int; CREATE INDEX i ON t (a); SELECT ';'"
    assert statement_count(script) == 3
    assert [effect.kind for effect in effects(script)] == ["add_column", "create_index"]


def test_equal_conditions_are_spelled_the_same() -> None:
    assert same_text('(("a" > 0) AND "b" IS NOT NULL)') == same_text("a>0 and b is not null")
    assert same_text("a > 0") != same_text("a >= 0")


@pytest.mark.django_db
def test_the_list_of_functions_is_the_servers() -> None:
    with connection.cursor() as cursor:
        cursor.execute(FUNCTIONS)
        server = {row[0] for row in cursor.fetchall()}
    assert len(server) > 2000
    assert all(is_builtin(name.rstrip("*")) for name in server)
    assert {name for name in server if is_volatile_function(name.rstrip("*")) != name.endswith("*")} == set()
