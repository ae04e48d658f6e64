"""Table locks of PostgreSQL: their order, their names, and who waits behind each of them."""

from __future__ import annotations

from collections.abc import Iterable

# From weak to strong: https://www.postgresql.org/docs/current/explicit-locking.html, Table 13.2.
_MODES = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
_STRENGTH = {mode: index for index, mode in enumerate(_MODES)}
_NAMES = {
    "AccessShareLock": "ACCESS SHARE", "RowShareLock": "ROW SHARE", "RowExclusiveLock": "ROW EXCLUSIVE",
    "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE", "ShareLock": "SHARE",
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE", "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}  # fmt: skip
# The same table, read as: which statements want a lock that conflicts with this one.
_STOPS = {
    "ShareUpdateExclusiveLock": "DDL and VACUUM",
    "ShareLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ExclusiveLock": "writes and SELECT FOR UPDATE",
    "AccessExclusiveLock": "reads and writes",
}


def strongest(modes: Iterable[str]) -> str:
    """The strongest of lock modes as `pg_locks` spells them; empty for none."""
    return max(modes, key=strength, default="")


def strength(mode: str) -> int:
    """A number that grows with the lock; -1 for no lock."""
    return _STRENGTH.get(mode, -1)


def blocks_writes(mode: str) -> bool:
    """Writers wait behind it (and readers too, behind ACCESS EXCLUSIVE)."""
    return strength(mode) >= _STRENGTH["ShareLock"]


def manual_name(mode: str) -> str:
    """As the manual spells it: `ACCESS EXCLUSIVE`."""
    return _NAMES.get(mode, mode)


def stops(mode: str) -> str:
    """What would wait behind it: "reads and writes", "writes", "DDL and VACUUM", or nothing."""
    return _STOPS.get(mode, "")
