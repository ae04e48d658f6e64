"""What the gate says of a case: `migrategate check` on the live database, `rehearse` on a copy of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deploy.gate import Rehearsal, rehearse
from deploy.gate.static.check import GateReport
from deploy.reporting.findings import Finding
from deploy.reporting.report import Step

from ..project import conf, judged

FLAGS = ("error", "warning")


@dataclass(frozen=True)
class Verdict:
    """The findings of both halves that name the release."""

    check: tuple[Finding, ...]
    rehearsal: tuple[Finding, ...]

    @property
    def flagged(self) -> bool:
        return bool(self.check or self.rehearsal)

    @classmethod
    def of(cls, report: GateReport, rehearsed: Rehearsal | None = None) -> Verdict:
        return cls(_flags(report.findings), _flags(rehearsed.findings if rehearsed else ()))


def checked(alias: str) -> GateReport:
    return judged(alias)


def verdict(report: GateReport, alias: str) -> Verdict:
    """Rehearse what `report` judged on the copy `alias`; findings that nobody has to act on are left out."""
    result = rehearse(conf(database=alias), alias=alias, gate=report, deployed=None, step=Step("rehearse"))
    return Verdict.of(report, result)


def words(findings: tuple[Finding, ...]) -> str:
    said = {f"{one.id.removeprefix('deploy.')} {one.level}: {one.message}" for one in findings}
    return "; ".join(sorted(said)).replace("|", "/")


def _flags(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(one for one in findings if one.level in FLAGS)
