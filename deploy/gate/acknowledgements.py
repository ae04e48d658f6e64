"""Findings that a person has answered for: what `@acknowledge` in a migration makes of them."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module

from django.db.migrations import Migration

from deploy.reporting.findings import Finding, FindingType, Level, registry
from deploy.reporting.redaction import redact

from .declarations import Declaration, acknowledgements_of
from .graph.plan import MigrationKey, place

UNUSABLE = FindingType(
    "deploy.M080",
    "error",
    "An acknowledgement does not count: {problem}.",
    "from deploy.gate import acknowledge\n\n\n"
    '@acknowledge("{id}", "why this is safe here", until="2027-01-31")   # until may be left out\n'
    "class Migration(migrations.Migration):",
)
EXPIRED = FindingType(
    "deploy.M081",
    "warning",
    "The acknowledgement of {id} ended on {until:%Y-%m-%d} ({reason}).",
    "Do what the finding says, or look at the reason once more and give it a later day:\n"
    '@acknowledge("{id}", {reason!r}, until="…")',
)
NO_LONGER_APPLIES = FindingType(
    "deploy.M082",
    "warning",
    "{id} is acknowledged ({reason}), and is not found any more.",
    'Take the line out: @acknowledge("{id}", …)',
    why="A line that answers for nothing would one day answer for something else.",
)

# Nothing that a person knows makes these work: the graph, SQL that PostgreSQL refuses, a run that failed.
NEVER_ACKNOWLEDGED = frozenset({
    "deploy.M006", "deploy.M007", "deploy.M008", "deploy.M020", "deploy.M040",
})  # fmt: skip
# Raised by what is seen on a copy of the data, never by the text of a migration.
_OBSERVED = ("deploy.M04", "deploy.M09")
# Raised about models without a migration, while migrations are applied, or about these very declarations.
_NOT_OF_A_MIGRATION = (
    "deploy.M009", "deploy.M05", "deploy.M06", "deploy.M080", "deploy.M081", "deploy.M082", "deploy.M083",
    "deploy.M085", "deploy.M087", "deploy.M088", "deploy.M110", "deploy.M111", "deploy.M112",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A finding's full id, why it is accepted, and the last day (UTC) on which it is; None for always."""

    finding: str
    reason: str
    until: date | None = None


def settle(
    findings: Iterable[Finding],
    migrations: Mapping[MigrationKey, Migration],
    *,
    today: date,
    observed: bool = False,
    alone: Callable[[Collection[MigrationKey]], Iterable[Finding]] = lambda _: (),
) -> list[Finding]:
    """`findings`, with those that `migrations` acknowledge made level info; `today` is the day in UTC.

    Findings about the acknowledgements themselves come after them: unusable (an error), expired, and no
    longer found. With `observed` the findings are a rehearsal's, otherwise the static check's; neither says
    that what only the other can find is not found any more. `alone` judges some migrations each as a release
    of its own: on an empty database a migration may be harmless that is not so elsewhere.
    """
    settled: list[Finding] = list(findings)
    said: list[Finding] = []
    unseen: list[tuple[MigrationKey, Acknowledgement]] = []
    for key, migration in migrations.items():
        for declaration in acknowledgements_of(migration):
            one = read(declaration, key)
            if isinstance(one, Finding):
                said.append(one)
                continue
            hits = [index for index, each in enumerate(settled) if _answers(one, key, each)]
            if not hits:
                unseen.append((key, one))
            elif one.until and one.until < today:
                said.append(EXPIRED(id=one.finding, until=one.until, reason=one.reason, place=place(key)))
            else:
                for index in hits:
                    settled[index] = acknowledged(settled[index], one)
    said += _no_longer(unseen, observed=observed, alone=alone)
    return [*settled, *(finding for finding in said if finding not in settled)]


def can_be_answered_for(identity: str) -> bool:
    """A person may accept findings of this id: they are about what a migration does, and it can work."""
    return identity not in NEVER_ACKNOWLEDGED and not identity.startswith(_NOT_OF_A_MIGRATION)


def acknowledged(finding: Finding, by: Acknowledgement) -> Finding:
    """The finding as information, with the reason why it is accepted."""
    until = f", until {by.until:%Y-%m-%d}" if by.until else ""
    return replace(finding, level="info", message=f"{finding.message} Acknowledged{until}: {by.reason}")


def read(declaration: Declaration, key: MigrationKey) -> Acknowledgement | Finding:
    """The decorator's arguments as they are meant, or deploy.M080 when they cannot be."""
    identity = declaration.finding
    if isinstance(identity, str) and not identity.startswith("deploy."):
        identity = f"deploy.{identity}"
    reason, until = declaration.reason, declaration.until
    problem = ""
    if not (is_known := _is_known(identity)):
        problem = f"{_written(declaration.finding)} is no id of a finding"
    elif identity in NEVER_ACKNOWLEDGED:
        problem = f"{identity} cannot be acknowledged, because the migration cannot work with it"
    elif identity.startswith(_NOT_OF_A_MIGRATION):
        problem = f"{identity} is not a finding about what a migration does"
    elif not isinstance(reason, str) or not reason.strip():
        problem = f"{identity} is acknowledged without a reason"
    elif declaration.surplus:
        problem = f"it takes an id, a reason and until, not also {', '.join(declaration.surplus)}"
    elif until is not None and (until := _day(until)) is None:
        problem = f"until={_written(declaration.until)} is not a day such as 2027-01-31"
    if problem:
        return UNUSABLE(problem=problem, id=identity if is_known else "deploy.M010", place=place(key))
    return Acknowledgement(identity, redact(" ".join(reason.split())), until)


def _answers(one: Acknowledgement, key: MigrationKey, finding: Finding) -> bool:
    """Of what is found about the code on a copy, the place is a model: a migration of its app answers."""
    if finding.id != one.finding:
        return False
    app_label = (finding.place or "").partition(".")[0]
    return finding.place == place(key) or (finding.id.startswith(_OBSERVED) and app_label == key[0])


def _no_longer(
    unseen: Sequence[tuple[MigrationKey, Acknowledgement]],
    *,
    observed: bool,
    alone: Callable[[Collection[MigrationKey]], Iterable[Finding]],
) -> list[Finding]:
    gone = [(key, one) for key, one in unseen if one.finding.startswith(_OBSERVED) == observed]
    if not gone:
        return []
    found = list(alone({key for key, _ in gone}))
    level: Level | None = "info" if observed else None  # another copy's data may well show it
    return [
        NO_LONGER_APPLIES(id=one.finding, reason=one.reason, place=place(key), level=level)
        for key, one in gone
        if not any(_answers(one, key, each) for each in found)
    ]


def _day(value: object) -> date | None:
    try:
        return value if type(value) is date else date.fromisoformat(str(value))
    except ValueError:
        return None


def _is_known(identity: object) -> bool:
    """The gate may raise it; for that, modules are loaded that so far nothing has needed."""
    from deploy import gate

    if not isinstance(identity, str):
        return False
    if identity not in registry():
        for module in pkgutil.walk_packages(gate.__path__, f"{gate.__name__}."):
            import_module(module.name)
    return identity in registry()


def _written(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)
