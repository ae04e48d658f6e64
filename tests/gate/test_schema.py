"""What a reverse may leave behind, and what it may not."""

import pytest

from deploy.gate.schema import in_substance

CHECK = ("constraint", "public", "t", "t_a_check", "c", "CHECK ((a > 0))", "true")
ENUM = ("enum", "public", "mood", "calm,cross")
COLUMN = ("column", "public", "t", "r", "a", "integer", "true", "", "", "", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({CHECK}, {CHECK, COLUMN}),
        ({CHECK}, {("constraint", "public", "t", "another", *CHECK[4:])}),
        ({(*CHECK[:5], "CHECK ((a > 0)) NOT VALID", "false")}, {CHECK}),
        ({ENUM}, {("enum", "public", "mood", "calm,glad,cross")}),
    ],
)
def test_more_than_before_hurts_nobody(before, after):
    assert set(in_substance(frozenset(before))) <= set(in_substance(frozenset(after)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({CHECK, COLUMN}, {CHECK}),
        ({CHECK}, {(*CHECK[:5], "CHECK ((a > 1))", "true")}),
        ({CHECK}, {("constraint", "public", "u", *CHECK[3:])}),
        ({ENUM}, set()),
        ({COLUMN}, {(*COLUMN[:5], "bigint", *COLUMN[6:])}),
    ],
)
def test_what_does_not_come_back_does(before, after):
    assert not set(in_substance(frozenset(before))) <= set(in_substance(frozenset(after)))
