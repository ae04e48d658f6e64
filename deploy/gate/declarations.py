"""What a migration says of itself, for its file to import: `@acknowledge(…)`, once or more, and `@phase(…)`.

Nothing of Django or of the gate is imported here, and nothing raises: a migration stays importable whatever
its decorators say. `acknowledgements` and `declared` read them, and report what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from datetime import date

Declared = TypeVar("Declared", bound=type)

_ACKNOWLEDGEMENTS = "_deploy_acknowledgements"
_PHASES = "_deploy_phases"


@dataclass(frozen=True, slots=True)
class Declaration:
    """The arguments of one decorator, exactly as they are written in the file."""

    finding: Any
    reason: Any = ""
    until: Any = None
    surplus: tuple[str, ...] = field(default=())


def acknowledge(
    finding: str, reason: str = "", until: date | str | None = None, *more: object, **unknown: object
) -> Callable[[Declared], Declared]:
    """Class decorator of a migration: its `finding` is known and accepted for `reason`.

    `finding` is an id (`deploy.M010`, or `M010`); `reason` may not be blank; `until` is the last day on which
    it counts (UTC; a date, or text such as "2027-01-31"). Of several, each stands for one finding.
    """
    surplus = (*(repr(value) for value in more), *(f"{name}={value!r}" for name, value in unknown.items()))
    return _adding(_ACKNOWLEDGEMENTS, Declaration(finding, reason, until, surplus))


def phase(name: str, *more: object, **unknown: object) -> Callable[[Declared], Declared]:
    """Class decorator of a migration: it is `"expand"` (runs before the switch) or `"contract"` (after it).

    The gate tells phases by itself; a declaration is checked against what it finds.
    """
    surplus = (*(repr(value) for value in more), *(f"{key}={value!r}" for key, value in unknown.items()))
    return _adding(_PHASES, Declaration(name, surplus=surplus))


def acknowledgements_of(migration: object) -> tuple[Declaration, ...]:
    """The acknowledgements that decorate a migration (or its class), in the order of the file."""
    return tuple(getattr(migration, _ACKNOWLEDGEMENTS, ()))


def phases_of(migration: object) -> tuple[Declaration, ...]:
    """The phases that decorate a migration (or its class): none or one, unless somebody wrote more."""
    return tuple(getattr(migration, _PHASES, ()))


def _adding(attribute: str, one: Declaration) -> Callable[[Declared], Declared]:
    def decorate(migration: Any) -> Any:
        setattr(migration, attribute, (one, *getattr(migration, attribute, ())))
        return migration

    if isinstance(one.finding, type):  # @acknowledge without parentheses: what it decorates came as `finding`
        decorate(one.finding)
        return one.finding
    return decorate
