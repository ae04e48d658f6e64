"""Google's ramp-up for bulk writes: 500 writes a second at first, half as many again every five minutes.

https://cloud.google.com/firestore/docs/best-practices#ramping_up_traffic
"""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_PER_SECOND = 500
_PHASE_SECONDS = 300
_GROWTH = 1.5
# Past this Firestore is warm, and the growth would soon be larger than any float.
_LAST_PHASE = 20


class Ramp:
    """Makes whoever asks wait, so that the rate stays below what Firestore takes without pain."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._began = self._free_at = clock()

    def wait(self, writes: int) -> None:
        """Until so many more writes may begin."""
        now = self._clock()
        if self._free_at > now:
            self._sleep(self._free_at - now)
        start = max(now, self._free_at)
        phase = min(int((start - self._began) // _PHASE_SECONDS), _LAST_PHASE)
        self._free_at = start + writes / (_FIRST_PER_SECOND * _GROWTH**phase)


class Unhurried(Ramp):
    """No ramp: for the emulator."""

    def wait(self, writes: int) -> None:
        """Not at all."""
