"""What a hint says can be pasted, whatever the name."""

from __future__ import annotations

import shlex

import pytest

from deploy.backup.findings import REPLACED
from deploy.backup.findings_of_restore import NOT_OWNER
from deploy.reporting.findings import as_any, as_read


@pytest.mark.parametrize("name", ["shop", "my shop", "it's", "$(reboot)", '"; rm'])
def test_a_name_is_one_word_for_a_shell(name: str) -> None:
    hint = REPLACED(live=name, now="backup 1", old=f"{name}_before_1").hint.splitlines()[0]

    words = shlex.split(hint.partition("python ")[2])

    assert words[1:] == ["restoredb", "--swap-back", f"{name}_before_1", "--yes-replace", name]


def test_a_name_is_an_identifier_for_sql() -> None:
    hint = NOT_OWNER(name='my "shop"', role="app-1", owner="Boss").hint

    assert 'ALTER DATABASE "my ""shop""" OWNER TO "app-1";' in hint
    assert 'GRANT "Boss" TO "app-1";' in hint


def test_the_reference_shows_only_the_value() -> None:
    assert as_read("--drop-old {old!q}") == "--drop-old {old}"
    assert as_any("--drop-old {old!q}") == "--drop-old <old>"
