"""The labels of the corpus are what a real PostgreSQL does, not what somebody thinks of it."""

from pathlib import Path

import pytest

from ..gate.corpus import truth, world
from ..gate.corpus.case import Case
from ..gate.corpus.cases import CASES
from ..gate.corpus.old_code import Known

# What Django says of a column that is read with another type than the model's is not what is looked at.
pytestmark = pytest.mark.filterwarnings("ignore:DateTimeField:RuntimeWarning")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_label_is_what_the_database_does(
    case: Case, root: Path, looked_at: str, copies: world.Copies, before: Known
) -> None:
    with world.installed(root, case) as names:
        if truth.can_be_undone(case):
            seen = truth.observe(looked_at, names, before, undo=True, only=case.kind)
        else:
            with copies.use() as alias:
                seen = truth.observe(alias, names, before, undo=False, only=case.kind)
    if case.disputed or case.unobserved:
        assert "fails" not in seen, seen
    elif case.kind is None:
        assert seen == {}, f"{case.reason}: {seen}"
    else:
        assert case.kind in seen, f"{case.reason}: {seen}"


def test_the_corpus_is_large_and_leans_to_the_unsafe() -> None:
    held = [case for case in CASES if not case.disputed]
    unsafe = [case for case in held if case.unsafe]
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(held) >= 300
    assert 0.5 < len(unsafe) / len(held) < 0.75
