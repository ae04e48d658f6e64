"""The examples on the pages of findings: the danger gets its finding, the safe way does not, and runs."""

import importlib
import re

import pytest

from deploy.reporting.findings import FindingType
from deploy.reporting.reference import declared

from .project import Shop, judged, run_all

KINDS = [kind for kind in declared() if kind.danger]


def write(app: Shop, text: str) -> list[tuple[str, str]]:
    """The files of an example, into the app."""
    parts = re.split(r"^# (\d{4}_\w+)\.py\n", text, flags=re.MULTILINE)[1:]
    names = parts[::2]
    for name, body in zip(names, parts[1::2], strict=True):
        (app.root / app.package / "migrations" / f"{name}.py").write_text(body)
    importlib.invalidate_caches()
    return [("shop", name) for name in names]


def warned(alias: str) -> set[str]:
    return {finding.id for finding in judged(alias).findings if finding.level != "info"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.short_id)
def test_the_danger_gets_its_finding(kind: FindingType, app: Shop, live: str) -> None:
    assert write(app, kind.danger)
    found = {finding.id for finding in judged(live).findings}
    assert kind.id in found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.safe], ids=lambda kind: kind.short_id)
def test_the_safe_way_gets_no_warning_and_runs(
    kind: FindingType, app: Shop, live: str, database: str
) -> None:
    keys = write(app, kind.safe)
    assert warned(live) == set()
    run_all(database, only=[("shop", "0001_initial"), *keys])
