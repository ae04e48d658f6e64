"""A case: one release of the store app, and what happens when it meets the live database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["lock", "breaks_old", "breaks_new", "fails", "data", "irreversible"]
KINDS: tuple[Kind, ...] = ("lock", "breaks_old", "breaks_new", "fails", "data", "irreversible")


@dataclass(frozen=True)
class Body:
    """The inside of one migration module: a list of operations as source text."""

    operations: str
    atomic: bool = True
    head: str = ""


@dataclass(frozen=True)
class Case:
    """One release.

    Attributes:
        kind: why it is unsafe, None when it is safe. "lock": reads or writes of a live table wait for a time
            that grows with a table, or it is rewritten. "breaks_old": the deployed code can't run a statement
            any more, or may be refused. "breaks_new": the release's own code can't. "fails": the migration
            does. "data": rows are lost, or most of a table's rows stay locked to the end of one transaction.
            "irreversible": nothing leads back.
        reason: what happens, in one line.
        bodies: its migrations, in order.
        unobserved: why no observation on this server can show the label; empty where one does.
        disputed: why careful people differ about it; such a case is shown, and held to nothing.
    """

    name: str
    kind: Kind | None
    reason: str
    bodies: tuple[Body, ...]
    unobserved: str = ""
    disputed: str = ""

    @property
    def unsafe(self) -> bool:
        return self.kind is not None


def concurrent(operations: str, head: str = "") -> Body:
    """A migration outside a transaction."""
    return Body(operations, atomic=False, head=head)


def unsafe(name: str, kind: Kind, reason: str, *bodies: str | Body, unobserved: str = "") -> Case:
    return Case(name, kind, reason, _bodies(bodies), unobserved=unobserved)


def safe(name: str, reason: str, *bodies: str | Body) -> Case:
    return Case(name, None, reason, _bodies(bodies))


def disputed(name: str, reason: str, why: str, *bodies: str | Body) -> Case:
    return Case(name, None, reason, _bodies(bodies), disputed=why)


def sql(statement: str, reverse: str | None = "") -> str:
    """A RunSQL with a reverse that does nothing, or (None) without one."""
    return f"migrations.RunSQL({statement!r})" if reverse is None else (
        f"migrations.RunSQL({statement!r}, {reverse!r})"
    )  # fmt: skip


def _bodies(bodies: Sequence[str | Body]) -> tuple[Body, ...]:
    return tuple(body if isinstance(body, Body) else Body(body) for body in bodies)
