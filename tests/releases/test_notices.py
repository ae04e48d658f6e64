from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.releases import notices
from deploy.releases.ledger import Ledger
from deploy.releases.notices import Draft
from deploy.reporting.findings import Refusal


def test_a_notice_is_in_force_until_it_is_resolved(ledger: Ledger) -> None:
    notices.announce(ledger, Draft.of(" Database upgrade ", eta="30m", audience="staff"), release="a")
    notices.announce(ledger, Draft.of("Second"), release="a")
    first, second = notices.in_force(ledger)
    assert (first.text, first.audience, second.expected_end) == ("Database upgrade", "staff", None)
    assert first.expected_end is not None
    assert abs(first.expected_end - first.since - timedelta(minutes=30)) < timedelta(seconds=5)
    assert [notice.number for notice in notices.resolve(ledger, release="a")] == [first.number, second.number]
    assert notices.in_force(ledger) == []


@pytest.mark.parametrize("eta", ["30", "m", "0m", "-5m", "31d", "1h30m", "1e3s", "٣m"])
def test_a_wrong_eta_is_refused(eta: str) -> None:
    with pytest.raises(Refusal) as refused:
        Draft.of("text", eta=eta)
    assert [finding.id for finding in refused.value.findings] == ["deploy.L050"]


@pytest.mark.parametrize("text", ["", "  \n", "x" * 2001])
def test_an_empty_or_endless_text_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        Draft.of(text)
    assert [finding.id for finding in refused.value.findings] == ["deploy.L051"]
