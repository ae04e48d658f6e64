"""The databases that `replace_database` has put aside: list them, bring one back, drop one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.conf import DeployConf
from deploy.databases.postgresql import literal
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .engines import Engine, engine_of
from .findings import NOT_REPLACED, REPLACED, SETTINGS_LEFT_OUT
from .findings_of_restore import NOT_KEPT

MOMENT_PATTERN = "YYYYMMDDTHHMMSS"
_FORMAT = "%Y%m%dT%H%M%S"
_MOMENT = re.compile(r"\d{8}T\d{6}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A database that was live until `replaced` (UTC)."""

    name: str
    replaced: datetime
    size_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return {
            "database": self.name,
            "replaced": self.replaced.isoformat(),
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True)
class SwapBackPlan:
    """What swapping back would do: `kept` takes the name `live`, and the live one is kept as `old`.

    `old` has a pattern for the swap's moment (UTC), which ends as many `connections` as there are now.
    """

    kept: str
    live: str
    old: str
    connections: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for the report."""
        return asdict(self)


def kept_name(engine: Engine) -> str:
    """Where the live database goes when it is replaced now: a name that is free."""
    moment = datetime.now(UTC)
    while engine.exists(name := engine.replaced_name(moment.strftime(_FORMAT))):
        moment += timedelta(seconds=1)  # replaced twice within a second
    return name


def list_kept(conf: DeployConf) -> list[Kept]:
    """What was put aside of this database, the newest first."""
    engine = engine_of(conf)
    found = []
    for name in engine.replaced():
        try:
            moment = datetime.strptime(_MOMENT.findall(name)[-1], _FORMAT).replace(tzinfo=UTC)
        except ValueError:  # digits that are no date: a name of the same shape, and not of our making
            continue
        found.append(Kept(name, moment, engine.size_bytes(name)))
    return sorted(found, key=lambda kept: (kept.replaced, kept.name), reverse=True)


def require_replaced(conf: DeployConf, name: str) -> str:
    """The name, if it is one that `replace_database` gives to what it puts aside.

    Raises:
        Refusal: deploy.B016 for any other.
    """
    engine = engine_of(conf)
    name = engine.check_name(name)
    if not engine.is_replaced(name):
        raise Refusal(NOT_REPLACED(name=name, pattern=engine.replaced_name(MOMENT_PATTERN)))
    return name


def is_kept(conf: DeployConf, name: str) -> bool:
    """There is a database of this name, which `replace_database` put aside. Raises Refusal (deploy.B016)."""
    return engine_of(conf).exists(require_replaced(conf, name))


def drop_replaced(conf: DeployConf, name: str, *, guard: Callable[[], None]) -> bool:
    """Drop a database that `replace_database` has put aside; returns whether there was one.

    Raises:
        Refusal: deploy.B016 for any other name.
    """
    there = is_kept(conf, name)
    guard()
    engine = engine_of(conf)
    engine.drop(engine.check_name(name))
    return there


def plan_swap_back(conf: DeployConf, name: str) -> SwapBackPlan:
    """What `swap_back` will do.

    Raises:
        Refusal: deploy.B016 for a name that no restore gives; deploy.B048 when there is no such database,
            as after it was swapped back.
    """
    engine = engine_of(conf)
    name = require_replaced(conf, name)
    if name not in engine.replaced():
        others = ", ".join(kept.name for kept in list_kept(conf)) or "none"
        raise Refusal(NOT_KEPT(name=name, kept=others))
    return SwapBackPlan(
        kept=name,
        live=engine.database_name(),
        old=engine.replaced_name(MOMENT_PATTERN),
        connections=engine.connections(),
    )


def swap_back(
    conf: DeployConf, plan: SwapBackPlan, *, guard: Callable[[], None], step: Step
) -> dict[str, Any]:
    """Make the kept database the live one again; what is live now is kept in turn.

    One transaction (PostgreSQL) or one rename (SQLite), with the connections to both ended, as when a backup
    takes the live name. Killed before it, nothing has changed; killed after it, the work is done.

    Returns:
        Facts: `database` the live name, `swapped_back`, `kept_as` (empty: there was no live one).

    Raises:
        Refusal: deploy.B048, D008, D009; nothing was swapped.
    """
    engine = engine_of(conf)
    with engine.locked(plan.live, "replacing"), engine.locked(plan.kept, "swapping back"):
        guard()
        if not engine.exists(plan.kept):
            raise Refusal(NOT_KEPT(name=plan.kept, kept="none of that name any more"))
        old = kept_name(engine)
        left_out = engine.swap(new=plan.kept, old=old)
    old = old if engine.exists(old) else ""
    told_of_swap(step, plan.live, old, left_out, now=f"what was kept as {plan.kept!r}")
    return {"database": plan.live, "swapped_back": plan.kept, "kept_as": old}


def told_of_swap(step: Step, live: str, old: str, left_out: list[str], *, now: str) -> None:
    """Record what a swap did, and which settings it could not bring over; no `old`: there was no live one."""
    if not old:
        return
    if left_out:
        step.add(SETTINGS_LEFT_OUT(live=live, settings=", ".join(left_out), quoted=literal(old)))
    step.add(REPLACED(live=live, now=now, old=old))
