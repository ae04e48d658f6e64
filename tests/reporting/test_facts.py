import json

import pytest

from deploy.reporting.facts import Rows, Table, figures, human_bytes, human_seconds, in_order, pairs, tables


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1536, "1.5 kB"),
        (2_000_000, "2.0 MB"),
        (3e9, "3.0 GB"),
        (4e15, "4000.0 TB"),
    ],
)
def test_sizes(count, text):
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "4 ms"),
        (0.5, "0.5 s"),
        (59.99, "1 min 00 s"),
        (75, "1 min 15 s"),
        (7325, "2 h 02 min"),
        (180_000, "2 d 02 h"),
    ],
)
def test_durations(seconds, text):
    assert human_seconds(seconds) == text


def test_figures_are_one_line_with_units_and_short_digests():
    facts = {
        "database": "optifit",
        "dump_bytes": 1200,
        "took_seconds": 1.5,
        "rows": 51000,
        "created": "2026-11-23T13:00:00.123456+00:00",
        "live": True,
        "sha256": "sha256:" + "0123456789abcdef" * 4,
        "nothing": None,
        "free_bytes": {"/srv": 5_000_000},
        "empty": [],
        "apps": ["a", "b"],
        "sizes": {"raw_bytes": 10, "n": 2},
        "tables": {f"t{i}": i for i in range(20)},
    }
    assert figures(facts) == (
        "database optifit, dump 1.2 kB, took 1.5 s, rows 51,000, created 2026-11-23 13:00:00Z, live yes, "
        "sha256 0123456789ab, free (/srv 5.0 MB), empty none, apps a b, "
        "sizes (raw 10 B, n 2), tables (20 entries)"
    )


def test_lists_become_tables():
    assert tables({"rows": [{"name": "a", "size_bytes": 1}, {"name": "b", "seen": False}]}) == [
        Table("rows", ("name", "size", "seen"), (("a", "1 B", ""), ("b", "", "no")))
    ]


def test_names_share_a_line_and_sentences_have_one_each():
    names, plan = tables({"files": [f"f{i}" for i in range(100)], "plan": ["send a", "send b"] * 50})
    assert names == Table("files", (), (("f0, f1, f2, f3",),), 96)
    assert (plan.rows[:2], len(plan.rows), plan.more) == ((("send a",), ("send b",)), 12, 88)


def test_long_tables_are_cut_and_say_so():
    (table,) = tables({"rows": [{"n": i} for i in range(100)]})
    assert (len(table.rows), table.more) == (40, 60)


def test_rows_are_whole_for_programs_and_short_for_people():
    rows = Rows([{"id": "a", "size_bytes": 1, "more": 2}], shown=[{"id": "a"}])
    assert json.loads(json.dumps(rows)) == [{"id": "a", "size_bytes": 1, "more": 2}]
    assert tables({"rows": rows}) == [Table("rows", ("id",), (("a",),))]
    assert tables({"rows": Rows([{"id": "a"}], shown=())}) == []


def test_what_is_empty_is_left_out_and_a_key_is_a_word():
    facts = {"image": "", "names": {}, "missing": [], "checked": True, "rto_seconds": 2}
    assert pairs(facts) == [("missing", "none"), ("checked", "yes"), ("time to recover", "2.0 s")]


def test_the_answer_comes_first_and_the_id_last():
    facts = {"backup": "x", "size": 1, "proved": "L2"}
    in_order(facts, ("proved", "absent"))
    assert list(facts) == ["proved", "size", "backup"]
