"""The gate's verdicts on the corpus: nothing unsafe is missed, nothing safe is flagged."""

from pathlib import Path

import pytest
from django.db import connections

from ..gate.corpus import world
from ..gate.corpus.case import Case
from ..gate.corpus.cases import CASES
from ..gate.corpus.verdicts import Verdict, checked, verdict, words
from .known import KNOWN

pytestmark = pytest.mark.filterwarnings("ignore:DateTimeField:RuntimeWarning")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if not case.disputed])
def test_the_gate_judges_rightly(case: Case, root: Path, looked_at: str, copies: world.Copies) -> None:
    with world.installed(root, case):
        report = checked(looked_at)
        connections[looked_at].close()
        found = Verdict.of(report)
        if not (case.unsafe and found.flagged):  # what check alone has caught needs no copy
            with copies.use() as alias:
                found = verdict(report, alias)
    wrong = found.flagged != case.unsafe
    said = f"{case.reason}: check {words(found.check)}; rehearsal {words(found.rehearsal)}"
    if case.name in KNOWN:
        assert wrong, f"{case.name} is judged rightly now: take it out of KNOWN"
    else:
        assert not wrong, said


def test_every_known_mistake_is_a_case() -> None:
    assert set(KNOWN) <= {case.name for case in CASES if not case.disputed}
