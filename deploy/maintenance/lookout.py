"""What a process knows of maintenance, kept fresh beside the requests and never at their expense."""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic

from .state import Maintenance

logger = logging.getLogger("deploy.maintenance")

# A process begins to look when it is made, before it is ready; only a request that is quicker waits.
_FIRST_SECONDS = 2.0
# After a pause without requests, what is known may be old: so long one may wait for the news.
_BLINK_SECONDS = 0.25


class Lookout:
    """`now` costs a request one reading of the clock; a look at the bucket is a thread's, one at a time.

    It looks when the first request after `every_seconds` comes: a process without traffic asks for nothing.
    Without an answer the last one stands, and nothing is known at first: a bucket that is away must not take
    the site down with it.
    """

    def __init__(self, look: Callable[[], Maintenance | None], *, every_seconds: float) -> None:
        self._look = look
        self._every = every_seconds
        self._known: Maintenance | None = None
        self._troubled = False
        self._reset()
        again = weakref.WeakMethod(self._reset)
        # gunicorn's preload_app makes us before it forks, and threads stay behind in the parent.
        os.register_at_fork(after_in_child=lambda: (reset := again()) and reset())
        self._begin()

    def _reset(self) -> None:
        self._due = 0.0
        self._wait_until = 0.0
        self._looked_at = -math.inf
        self._one = threading.Lock()
        self._answered = threading.Event()

    def now(self) -> Maintenance | None:
        """The maintenance that is on, as of at most a few seconds ago."""
        moment = monotonic()
        if moment >= self._due:
            self._begin()
        if moment < self._wait_until:
            self._answered.wait(self._wait_until - moment)
        return self._known

    def would_wait(self) -> bool:
        """`now` may block for a moment: not for an event loop."""
        moment = monotonic()
        return moment < self._wait_until or (moment >= self._due and self._is_stale(moment))

    def _is_stale(self, moment: float) -> bool:
        return moment - self._looked_at > 2 * self._every

    def _begin(self) -> None:
        moment = monotonic()
        if not self._one.acquire(blocking=False):
            return  # another look is on its way
        self._due = moment + self._every
        self._answered.clear()
        if self._is_stale(moment):
            is_first = math.isinf(self._looked_at)
            self._wait_until = moment + (_FIRST_SECONDS if is_first else _BLINK_SECONDS)
        threading.Thread(target=self._ask, name="maintenance-lookout", daemon=True).start()

    def _ask(self) -> None:
        try:
            self._known = self._look()
        except Exception as error:  # noqa: BLE001 – told in the log; whatever it is, requests go on
            if not self._troubled:  # once, not at every look of a long outage
                logger.warning("cannot look whether maintenance is on, keeping to what is known: %s", error)
            self._troubled = True
        else:
            self._troubled = False
        finally:
            self._looked_at = monotonic()
            self._wait_until = 0.0
            self._answered.set()
            self._one.release()
