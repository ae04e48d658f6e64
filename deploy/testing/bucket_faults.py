"""What can go wrong with one call of a bucket, as data; `FaultyBucket` makes it happen."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fnmatch import fnmatchcase

# Which kinds a method can meet. `kill` and `kill_after` are not in `every_fault`: they end the process.
KINDS = {
    "stat": ("error", "timeout", "slow", "missing"),
    "read": ("error", "timeout", "slow", "missing", "partial", "corrupt", "flip"),
    "open_read": ("error", "timeout", "slow", "missing", "partial", "corrupt", "flip"),
    "put": ("error", "timeout", "slow", "lost", "duplicate"),
    "open_write": ("error", "timeout", "slow", "partial", "lost", "duplicate"),
    "list": ("error", "timeout", "slow", "partial"),
    "delete": ("error", "timeout", "slow", "lost", "duplicate"),
}
KILLS = ("kill", "kill_after")
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class BucketFault:
    """One thing that goes wrong.

    Args:
        kind: what happens.
            `error`: nothing is done, and BucketError is raised.
            `timeout`: waits `seconds`, then the same; of `open_write` only when the block is left.
            `slow`: waits `seconds`, then all is well.
            `missing`: there seems to be no such object: None of `stat`, else ObjectMissing.
            `partial`: BucketError after `after` bytes, or objects of a listing. Nothing becomes visible.
            `corrupt`: one bit is wrong, and the checksum finds it: ObjectCorrupt, with the last byte.
            `flip`: one bit is wrong, and no checksum of the store's finds it.
            `lost`: all is done, but the answer does not arrive: BucketError.
            `duplicate`: all is done, then done once more by a library that lost the answer, and refused
            because of itself: PreconditionFailed, or ObjectMissing of a `delete`.
            `kill`: the process gets SIGKILL before anything is done; of a stream, after `after` bytes.
            `kill_after`: it gets SIGKILL when all is done.
        method: of `Bucket`; `*` for each that knows the kind.
        name: which objects, as a pattern of `fnmatch`; of `list` it is the prefix.
        nth: the first of the matching calls that meets it, from 1. times: so many calls meet it.
        rate: of the calls from the `nth` on, the share that meets it, chosen by the bucket's seed.
        after: bytes, or objects of a listing, that still go well; and where the wrong bit is.
        seconds: of `slow` and `timeout`, at most 60.

    Raises:
        ValueError: there is no such thing.
    """

    kind: str
    method: str = "*"
    name: str = "*"
    nth: int = 1
    times: int = 1
    rate: float = 1.0
    after: int = 0
    seconds: float = 0.02

    def __post_init__(self) -> None:
        kinds = {kind for of_method in KINDS.values() for kind in of_method}.union(KILLS)
        known = kinds if self.method == "*" else {*KINDS.get(self.method, ()), *KILLS}
        if self.method not in (*KINDS, "*"):
            raise ValueError(f"a bucket has no method {self.method!r}")
        if self.kind not in known:
            raise ValueError(f"{self.method} knows no {self.kind!r}, but {', '.join(sorted(known))}")
        if not 0 <= self.seconds <= _LONGEST_SECONDS:
            raise ValueError(f"{self.seconds} is not 0 to {_LONGEST_SECONDS:g} seconds")
        if not 0 < self.rate <= 1:
            raise ValueError(f"{self.rate} is not a rate of more than 0 and at most 1")
        if self.nth < 1 or self.times < 1 or self.after < 0:
            raise ValueError("nth and times count from 1, after from 0")

    def concerns(self, method: str, name: str) -> bool:
        """Such a call can meet it."""
        fits = self.method in (method, "*") and self.kind in (*KINDS[method], *KILLS)
        return fits and fnmatchcase(name, self.name)

    def strikes(self, call: int, seed: str) -> bool:
        """The `call`-th call that it concerns meets it. `seed` decides where `rate` leaves a choice."""
        if self.rate < 1:
            # Of the seed and the call alone, so that the order of threads decides nothing.
            return call >= self.nth and random.Random(f"{seed}/{call}").random() < self.rate  # noqa: S311 – no secret
        return self.nth <= call < self.nth + self.times


def every_fault(**properties: object) -> list[BucketFault]:
    """One fault of each method and kind, to hold code against all of them; `properties` go to each."""
    return [
        BucketFault(kind, method, **properties)  # type: ignore[arg-type]  # checked when it is made
        for method, kinds in KINDS.items()
        for kind in kinds
    ]
