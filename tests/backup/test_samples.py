"""Digests of samples: the same rows before the dump and after the restore; and where sequences stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy import backup
from deploy.backup.engines import postgresql_contents, postgresql_dump
from deploy.backup.engines.postgresql_contents import Position, spans
from deploy.backup.engines.postgresql_digests import Table, sample_of
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]


def limited(conf: DeployConf, limit_bytes: int) -> DeployConf:
    return replace(conf, backup=replace(conf.backup, digest_limit_bytes=limit_bytes))


def take(conf: DeployConf, bucket: LocalBucket, guard: Guard, step: Step | None = None) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=step or Step("backup"), guard=guard)


def restored(conf: DeployConf, bucket: LocalBucket, manifest: Manifest) -> list[tuple[str, str]]:
    step = Step("restore")
    backup.restore_into(conf, bucket, manifest, name=backup.scratch_name(conf, "v1"), step=step)
    return [(finding.id, finding.place) for finding in step.findings]


@pytest.mark.parametrize(
    ("size", "limit", "sample"),
    [(10, 10, 1), (11, 10, 2), (20, 10, 2), (21, 10, 4), (80, 10, 8), (81, 10, 16), (0, 0, 1), (1, 0, None)],
)
def test_the_sample_brings_a_table_under_the_limit(size: int, limit: int, sample: int | None) -> None:
    assert sample_of(Table("s", "t", size, ("id",), ("id",)), limit) == sample
    assert size / (sample or 1) <= limit or sample is None


def test_a_large_table_without_a_key_has_no_sample() -> None:
    assert sample_of(Table("s", "t", 11, ("a",), ()), 10) is None


KEYS = """
CREATE TABLE by_int (pad text, id int PRIMARY KEY);
CREATE TABLE by_uuid (id uuid PRIMARY KEY, pad text);
CREATE TABLE by_text ("the ""key" text PRIMARY KEY, pad text);
CREATE TABLE by_two (b date, pad text, a bigint, PRIMARY KEY (a, b) INCLUDE (pad));
CREATE TABLE keyless (pad text, at timestamptz, flag bool);
CREATE TABLE only_text (pad text, data jsonb);
INSERT INTO by_int SELECT repeat('x', 90), n FROM generate_series(1, 2000) n;
INSERT INTO by_uuid SELECT md5(n::text)::uuid, repeat('x', 90) FROM generate_series(1, 2000) n;
INSERT INTO by_text SELECT 'key ' || n, repeat('x', 90) FROM generate_series(1, 2000) n;
INSERT INTO by_two SELECT '2026-01-01'::date + n, repeat('x', 90), n % 7 FROM generate_series(1, 2000) n;
INSERT INTO keyless SELECT repeat('x', 90), now() + n * interval '1 s', true FROM generate_series(1, 2000) n;
INSERT INTO only_text SELECT repeat('x', 90), to_jsonb(n) FROM generate_series(1, 2000) n;
"""


def test_samples_of_every_kind_of_key_come_back_the_same(
    conf: DeployConf, bucket: LocalBucket, live: str, no_guard: Guard, query: Query
) -> None:
    query(KEYS)
    conf = limited(conf, 50_000)
    step = Step("backup")

    manifest = take(conf, bucket, no_guard, step)

    sampled = {"public.by_int", "public.by_uuid", "public.by_text", "public.by_two", "public.keyless"}
    assert manifest.samples.keys() == manifest.digests.keys() == sampled
    assert set(manifest.samples.values()) <= {8, 16}
    assert set(manifest.tables.values()) == {2000}
    assert "50000 bytes" in manifest.digest_method
    assert [(finding.id, "public.only_text" in finding.message) for finding in step.findings] == [
        ("deploy.B030", True)
    ]
    assert restored(conf, bucket, manifest) == []


@pytest.mark.parametrize("table", ["by_int", "by_uuid", "by_text", "by_two", "keyless"])
def test_a_row_of_the_sample_that_differs_is_found(
    conf: DeployConf, bucket: LocalBucket, live: str, no_guard: Guard, query: Query, table: str
) -> None:
    query(KEYS)
    conf = limited(conf, 50_000)
    manifest = take(conf, bucket, no_guard)
    query(f"UPDATE {table} SET pad = 'y'")  # noqa: S608 – one of the names above
    changed = take(conf, bucket, no_guard)

    found = restored(conf, bucket, replace(changed, digests=manifest.digests))

    assert found == [("deploy.B007", f"public.{table}")]


def test_the_physical_order_and_later_sizes_do_not_matter(
    conf: DeployConf, bucket: LocalBucket, live: str, no_guard: Guard, query: Query
) -> None:
    query(KEYS)
    before = take(limited(conf, 50_000), bucket, no_guard)
    query(
        "UPDATE by_int SET pad = pad; CREATE INDEX back ON by_int (pad, id DESC); CLUSTER by_int USING back"
    )
    with server.connect(ALIAS) as connection:
        after = postgresql_contents.measure_like(
            connection,
            digested=before.digests,
            samples=before.samples,
            defined=False,
            large_objects=False,
        )

    assert after.digests == before.digests


def test_a_child_whose_columns_change_their_order_by_a_restore_is_the_same(
    conf: DeployConf, bucket: LocalBucket, live: str, no_guard: Guard, query: Query
) -> None:
    query(
        "CREATE TABLE parent (a int); CREATE TABLE child (b int, z text) INHERITS (parent);"
        "ALTER TABLE parent ADD COLUMN later int; INSERT INTO child VALUES (1, 2, 'x', 3)"
    )
    manifest = take(conf, bucket, no_guard)

    assert restored(conf, bucket, manifest) == []
    order = (
        "SELECT attname FROM pg_attribute WHERE attrelid = 'child'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert query(order, backup.scratch_name(conf, "v1")) != query(order)


def test_many_sequences_are_read_in_a_few_statements(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_contents, "_SEQUENCES_AT_ONCE", 4)
    with server.connect(ALIAS) as connection:
        connection.execute("".join(f'CREATE SEQUENCE "s ""{n}" START {n};' for n in range(1, 12)))
        connection.execute('SELECT setval(\'"s ""3"\', 9223372036854775807)')
        found = postgresql_contents.sequences(connection)

    assert len(found) == 11
    assert found['public.s "2'] == Position(2, 1, 1, 2**63 - 1)
    assert found['public.s "3'].next_number == 2**63  # at its end


@pytest.mark.parametrize(
    ("before", "after", "span"),
    [
        (Position(5, 1, 1, 100), Position(9, 1, 1, 100), [5, 9]),
        (Position(-3, -1, -100, -1), Position(-9, -1, -100, -1), [-9, -3]),
        (Position(90, 1, 1, 100), Position(2, 1, 1, 100), [0, 101]),  # set back, or round
        (Position(-90, -5, -100, -1), Position(-1, -5, -100, -1), [-105, 4]),
        (Position(5, 1, 1, 100), Position(9, 2, 1, 200), [-1, 202]),  # altered meanwhile
    ],
)
def test_the_span_of_a_sequence(before: Position, after: Position, span: list[int]) -> None:
    assert spans({"s": before, "gone": before}, {"s": after, "new": after}) == {"s": span}


def test_a_sequence_set_back_during_the_dump_is_no_difference(
    conf: DeployConf,
    bucket: LocalBucket,
    live: str,
    no_guard: Guard,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query("CREATE SEQUENCE back; SELECT setval('back', 900); CREATE SEQUENCE round MAXVALUE 3 CYCLE;")
    query("SELECT nextval('round'), nextval('round')")
    running = postgresql_dump.running

    def set_back_and_run(*args: Any, **kwargs: Any) -> Any:  # after the first reading, before pg_dump's
        query("SELECT setval('back', 5), nextval('round'), nextval('round')")
        return running(*args, **kwargs)

    monkeypatch.setattr(postgresql_dump, "running", set_back_and_run)
    manifest = take(conf, bucket, no_guard)

    assert manifest.sequences == {"public.back": [0, 2**63], "public.round": [0, 4]}
    assert restored(conf, bucket, manifest) == []


def test_a_sequence_that_goes_on_after_pg_dump_has_read_it_stays_narrow(
    conf: DeployConf, bucket: LocalBucket, live: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Companions ask the guard at times of their own.
    monkeypatch.setattr("deploy.backup.create.keepers", lambda _: [])
    query("CREATE SEQUENCE ids; SELECT nextval('ids')")

    def guard() -> None:  # before the archive becomes visible, among other times: the dump is over
        query("SELECT nextval('ids')")

    first = query("SELECT last_value FROM ids")[0][0]
    manifest = take(conf, bucket, guard)

    lowest, highest = manifest.sequences["public.ids"]
    assert lowest == highest == first + 2  # the guard is asked once before the snapshot
    assert query("SELECT last_value FROM ids")[0][0] > lowest
    assert restored(conf, bucket, manifest) == []
